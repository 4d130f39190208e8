"""A bare FastAPI handler that sends the very statements of a recorded request and answers with its last rows.

It is what `benchmarks/api.py` measures the API beside. TAJDID_BENCH_URL names the database, TAJDID_BENCH_TAPE
the file of recordings. Of each request only the names that its rows got anew differ from the recording.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from fastapi import FastAPI, Response
from pydantic import BaseModel
from sqlalchemy import make_url

CONNECTIONS = 12
"""Of each worker."""


class Sent(NamedTuple):
    """One statement with its values as the driver got them; `many`: values of several rows; `data`: what a
    COPY wrote, or None where it read."""

    sql: str
    values: Any
    many: bool = False
    copies: bool = False
    data: tuple[bytes, ...] | None = None


Tape = dict[str, tuple[list[Sent], frozenset[str]]]
"""The statements of a request and the names that its rows got anew, by `GET <id>` or `POST <id>`."""

_READ = {
    "Decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "bytes": str.encode,
}

_NEW = re.compile(r"^[a-z]+_[0-9a-f]{17,}$")


class NewCharge(BaseModel):
    subscription_id: str
    description: str
    amount: str


class _Pool:
    """So many connections, opened when they are first asked for."""

    def __init__(self, url: str, size: int) -> None:
        self._address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._free: queue.LifoQueue[psycopg.Connection[Any] | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextmanager
    def lend(self) -> Iterator[psycopg.Connection[Any]]:
        connection = self._free.get()
        if connection is None:
            connection = psycopg.connect(self._address, autocommit=True)
            connection.execute("SET TIME ZONE 'UTC'")
        try:
            yield connection
        finally:
            self._free.put(connection)


def played(
    connection: psycopg.Connection[Any], sent: list[Sent], known: frozenset[str], mark: str
) -> list[Any]:
    """Send the statements, each new name made another by `mark`; the rows of the last that gave any."""
    rows: list[Any] = []
    with connection.cursor() as cursor:
        for one in sent:
            if one.copies:
                with cursor.copy(one.sql, one.values) as copy:
                    if one.data is None:
                        for _ in copy:
                            pass
                    else:
                        for part in one.data:
                            copy.write(_marked_text(part, known, mark))
            elif one.many:
                cursor.executemany(one.sql, [_marked(values, known, mark) for values in one.values])
            else:
                cursor.execute(one.sql, _marked(one.values, known, mark))
                if cursor.description is not None:
                    rows = cursor.fetchall()
    return rows


def _marked(values: Any, known: frozenset[str], mark: str) -> Any:
    if isinstance(values, dict):
        return {name: _named(value, known, mark) for name, value in values.items()}
    return values if values is None else tuple(_named(value, known, mark) for value in values)


def _named(value: Any, known: frozenset[str], mark: str) -> Any:
    return value + mark if isinstance(value, str) and value in known else value


def _marked_text(data: bytes, known: frozenset[str], mark: str) -> bytes:
    for name in known:
        data = data.replace(name.encode(), (name + mark).encode())
    return data


def new_names(sent: list[Sent], key: str) -> frozenset[str]:
    """The names that a request gave to rows of its own: those that first come in an INSERT, and the key."""
    seen: set[str] = set()
    new = {key}
    for one in sent:
        is_insert = one.sql.lstrip().upper().startswith("INSERT")
        rows = one.values if one.many else [one.values]
        texts = {
            value
            for row in rows
            if row is not None
            for value in (row.values() if isinstance(row, dict) else row)
            if isinstance(value, str) and _NEW.match(value)
        }
        new |= {text for text in texts if is_insert and text not in seen}
        seen |= texts
    return frozenset(new)


def write_tape(tape: Tape, path: Path) -> None:
    """Keep the recordings as JSON; a value that JSON doesn't know stands as `{its type: its text}`."""
    path.write_text(
        json.dumps({name: [sent, sorted(new)] for name, (sent, new) in tape.items()}, default=_typed)
    )


def _typed(value: Any) -> dict[str, str]:
    kind = type(value).__name__
    if kind not in _READ:
        raise TypeError(f"a tape holds no {kind}")
    return {kind: value.decode() if isinstance(value, bytes) else str(value)}


def read_tape(path: Path) -> Tape:
    """The recordings that write_tape kept; a row's values as a list where they were a tuple."""
    tape = json.loads(path.read_text())
    return {
        name: ([Sent(*(_valued(part) for part in one)) for one in sent], frozenset(new))
        for name, (sent, new) in tape.items()
    }


def _valued(value: Any) -> Any:
    if isinstance(value, list):
        return [_valued(part) for part in value]
    if isinstance(value, dict):
        if len(value) == 1 and (kind := next(iter(value))) in _READ:
            return _READ[kind](value[kind])
        return {name: _valued(part) for name, part in value.items()}
    return value


def app() -> FastAPI:
    """The handler of both requests."""
    tape = read_tape(Path(os.environ["TAJDID_BENCH_TAPE"]))
    pool = _Pool(os.environ["TAJDID_BENCH_URL"], CONNECTIONS)
    count = itertools.count()
    bare = FastAPI(openapi_url=None)

    def answer(name: str, status: int) -> Response:
        sent, known = tape[name]
        with pool.lend() as connection:
            rows = played(connection, sent, known, f"-{os.getpid()}-{next(count)}")
        return Response(json.dumps(rows, default=str), status, media_type="application/json")

    @bare.get("/v1/subscriptions/{subscription_id}")
    def read(subscription_id: str) -> Response:
        return answer(f"GET {subscription_id}", 200)

    @bare.post("/v1/charges")
    def write(body: NewCharge) -> Response:
        return answer(f"POST {body.subscription_id}", 201)

    return bare
