"""The API beside a bare FastAPI handler that does the same SQL: part of `make bench-api`.

Claims, on PostgreSQL, with 32 clients that each keep one connection and two worker processes a side: the API
answers at least half as many reads a second (a subscription with its items) and at least half as many writes
(a charge: checked, written, announced, audited) as a bare handler (api_bare.py) that sends the very
statements that the API sends for them and answers with their rows. The statements are recorded at the driver
before. Both sides run in turn, round by round, each on its own copy of one database.

The API is whole: keys, scopes, limits, idempotency, problems. Its rate limits are off. SIZE=small checks that
the benchmark works, not its figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
from api_bare import Sent, Tape, new_names, write_tape
from base import open_base
from fastapi import FastAPI
from fastapi.testclient import TestClient
from servers import create_database, drop_database, postgres
from sqlalchemy import func, select

from billing.api.app import application
from billing.api.keys import Door as KeyDoor
from billing.gateways.simulated import SimulatedGateway
from billing.service.api_keys import create_key, mint
from billing.store.store import open_store
from billing.store.tables import one_time_charges
from billing.web.context import Services
from billing.web.layers import Door
from billing.web.seal import Vault
from billing.web.stores import Stores

LIMIT = 0.5
CLIENTS, WORKERS = 32, 2
SIZES = {"small": (200, 50, 1.0, 1), "full": (100_000, 1_000, 10.0, 5)}
"""Customers, how many of their subscriptions are asked for, seconds a measurement, rounds."""
HERE = Path(__file__).parent


def ours() -> FastAPI:
    """The API on the database of TAJDID_BENCH_URL."""
    return served_by(Stores(os.environ["TAJDID_BENCH_URL"]))


def served_by(stores: Stores) -> FastAPI:
    services = Services(stores, SimulatedGateway(), Vault(bytes(32)))
    return application(services, KeyDoor(), door=Door(hosts=("127.0.0.1", "testserver")))


def minted(url: str) -> str:
    """A key of the merchant in a database."""
    key = mint("live")
    with open_store(url) as store:
        create_key(
            store,
            datetime.now(UTC),
            owner="bench",
            name="Bench",
            prefix=key.prefix,
            key_hash=key.key_hash,
            scopes=("*:admin",),
            version=date(2026, 12, 1),
        )
    return key.token


# The two requests.


def reading(subscription_id: str, _key: str) -> tuple[str, str, bytes]:
    return "GET", f"/v1/subscriptions/{subscription_id}", b""


def writing(subscription_id: str, _key: str) -> tuple[str, str, bytes]:
    body = {"subscription_id": subscription_id, "description": "Set-up", "amount": "12.50"}
    return "POST", "/v1/charges", json.dumps(body).encode()


KINDS = {"reads": reading, "writes": writing}


def headers_of(token: str, key: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": key,
        "Content-Type": "application/json",
    }


# Recording.


@contextmanager
def recorded(into: list[Sent]) -> Iterator[None]:
    """Keep what is sent to the driver in the block."""
    cursor = psycopg.Cursor
    execute, many, copy, write = cursor.execute, cursor.executemany, cursor.copy, psycopg.Copy.write

    def kept_execute(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        into.append(Sent(str(query), params))
        return execute(self, query, params, **more)

    def kept_many(self: Any, query: Any, params: Any, **more: Any) -> Any:
        rows = list(params)
        into.append(Sent(str(query), rows, many=True))
        return many(self, query, rows, **more)

    def kept_copy(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        writes = "FROM STDIN" in str(query)
        into.append(Sent(str(query), params, copies=True, data=() if writes else None))
        return copy(self, query, params, **more)

    def kept_write(self: Any, data: Any) -> Any:
        place = max(at for at, one in enumerate(into) if one.data is not None)
        into[place] = into[place]._replace(data=(*(into[place].data or ()), bytes(data)))
        return write(self, data)

    vars_of: Any = cursor
    vars_of.execute, vars_of.executemany, vars_of.copy = kept_execute, kept_many, kept_copy
    psycopg.Copy.write = kept_write  # type: ignore[method-assign]
    try:
        yield
    finally:
        vars_of.execute, vars_of.executemany, vars_of.copy = execute, many, copy
        psycopg.Copy.write = write  # type: ignore[method-assign]


def record(url: str, token: str, ids: Sequence[str], tape: Path) -> dict[str, int]:
    """Record the statements of every request; how many a kind has."""
    found: Tape = {}
    counts = {}
    stores = Stores(url, size=1)
    client = TestClient(served_by(stores))
    for name, kind in KINDS.items():
        for number, subscription_id in enumerate([ids[0], *ids]):  # The first warms up.
            method, path, body = kind(subscription_id, "")
            key, sent = f"recorded-{name}-{number}", list[Sent]()
            with recorded(sent):
                answer = client.request(method, path, content=body, headers=headers_of(token, key))
            assert answer.status_code in (200, 201), answer.text
            found[f"{method} {subscription_id}"] = sent, new_names(sent, key)
            counts[name] = len(sent)
    stores.close()
    write_tape(found, tape)
    return counts


# Serving and asking.


@contextmanager
def served(factory: str, url: str, tape: Path) -> Iterator[int]:
    """A server of two workers until the block ends; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--app-dir", str(HERE)]
    command += ["--port", str(port), "--workers", str(WORKERS), "--no-access-log", "--log-level", "error"]
    own = {"TAJDID_BENCH_URL": url, "TAJDID_BENCH_TAPE": str(tape), "PYTHONPATH": str(HERE.parent)}
    process = subprocess.Popen(command, env=os.environ | own)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{factory} did not start")
                time.sleep(0.1)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


async def asked(
    port: int, token: str, kind: Any, ids: Sequence[str], seconds: float, name: str
) -> tuple[int, float]:
    """How many answers the clients get together, and in how many seconds. Each has to be a success."""
    done = 0
    ends = time.perf_counter() + seconds

    async def one(number: int) -> None:
        nonlocal done
        chosen = random.Random(number)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = 0
        while time.perf_counter() < ends:
            turn += 1
            key = f"{name}-{number}-{turn}"
            method, path, body = kind(chosen.choice(ids), key)
            lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
            lines += [f"{header}: {value}" for header, value in headers_of(token, key).items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 20"):
                raise SystemExit(f"{method} {path}: {head.decode()}{answer.decode()[:500]}")
            done += 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(CLIENTS)))
    return done, time.perf_counter() - began


def measure(url: str, folder: Path, customers: int, asked_for: int, seconds: float, rounds: int) -> bool:
    """Print both claims; whether they hold."""
    origin = create_database(url, "api_origin")
    with open_store(origin) as store:
        open_base(store, customers)
        store.analyze()
    ids = [f"s{number}" for number in random.Random(8).sample(range(1, customers), asked_for)]
    tape = folder / "tape"
    token = minted(origin)
    counts = record(origin, token, ids, tape)
    sides = {"ours": "api:ours", "bare": "api_bare:app"}
    found: dict[tuple[str, str], list[float]] = {}
    totals: Counter[tuple[str, str]] = Counter()
    copies = {side: create_database(url, f"api_{side}", "api_origin") for side in sides}
    with (
        served(sides["ours"], copies["ours"], tape) as of_ours,
        served(sides["bare"], copies["bare"], tape) as of_bare,
    ):
        ports = {"ours": of_ours, "bare": of_bare}
        for number in range(-1, rounds):  # The first round warms up.
            for what, kind in KINDS.items():
                for side, port in ports.items():
                    lasts = min(seconds, 2.0) if number < 0 else seconds
                    done, took = asyncio.run(asked(port, token, kind, ids, lasts, f"{what}-{number}"))
                    totals[what, side] += done
                    if number >= 0:
                        found.setdefault((what, side), []).append(done / took)
    for side, address in copies.items():
        assert charges_in(address) == charges_in(origin) + totals["writes", side], "each write is written"
    for name in ("api_ours", "api_bare", "api_origin"):
        drop_database(url, name)
    holds = [claim(what, counts[what], found[what, "ours"], found[what, "bare"]) for what in KINDS]
    return all(holds)


def charges_in(url: str) -> int:
    with open_store(url) as store:
        row = store.row(select(func.count().label("count")).select_from(one_time_charges))
    assert row is not None
    return int(row["count"])


def claim(what: str, statements: int, ours: Sequence[float], bare: Sequence[float]) -> bool:
    mine, beside = statistics.median(ours), statistics.median(bare)
    ratio = mine / beside
    holds = ratio >= LIMIT
    print(
        f"API, {what} of {statements} statements at {CLIENTS} clients (PostgreSQL, {WORKERS} workers): "
        f"{mine:,.0f} a second | bare handler {beside:,.0f} a second | ratio {ratio:.2f} | "
        f"limit at least {LIMIT} | {'ok' if holds else 'short'}",
        flush=True,
    )
    return holds


def main() -> None:
    size = os.environ.get("SIZE", "full")
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        holds = measure(url, Path(folder), *SIZES[size])
    sys.exit(0 if holds or size == "small" else 1)


if __name__ == "__main__":
    main()
