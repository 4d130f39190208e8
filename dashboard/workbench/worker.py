"""The process that answers questions: `python -m dashboard.workbench.worker`, one question at a time.

A question comes as a line of JSON on standard input, its answer leaves as a line of JSON on standard output,
followed by as many bytes of Arrow as that line says. A line {"stop": id} interrupts the question of that id.
The process lives no longer than the one that started it, writes no file and knows no environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import resource
import sys
import threading
import time
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dashboard.workbench.rules import CATALOG, MOST_COLUMNS, SCHEMAS, Refused, Statement, checked

MEMORY = "1GB"
ADDRESS_SPACE = 2 * 2**30
ANSWER_BYTES = 64 * 2**20
LONGEST_DETAIL = 2_000
ROWS_AT_A_TIME = 512
IDLE_SECONDS = 900
CONFIGURATION: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": MEMORY,
    "temp_directory": "",
    "max_temp_directory_size": "0B",
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
    "allow_unsigned_extensions": False,
    "python_enable_replacements": False,
}
# Said of what a question asks, before any row is read.
SAFE_TO_TELL = (duckdb.BinderException, duckdb.ParserException, duckdb.SyntaxException)


def main() -> None:
    """Answer questions until the input ends, or none comes for a while."""
    _confine()
    asked: queue.Queue[dict[str, Any]] = queue.Queue()
    answering = Answering()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, asked, answering), daemon=True).start()
    _send(sys.stdout.buffer, {"state": "ready"}, b"")
    while True:
        try:
            question = asked.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return
        head, body = answering.answer(question)
        _send(sys.stdout.buffer, head, body)
        if head["code"] == "memory":  # what was taken is only given back by ending
            return


def _confine() -> None:
    """No file grows, no core is left, memory has an end, nothing is known of where the process runs."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    os.environ.clear()


def _listen(source: BinaryIO, asked: queue.Queue[dict[str, Any]], answering: Answering) -> None:
    for line in source:
        message = json.loads(line)
        if "stop" in message:
            answering.stop(str(message["stop"]))
        else:
            asked.put(message)
    os._exit(0)  # the dashboard is gone, and with it whoever waits for an answer


def _send(target: BinaryIO, head: Mapping[str, Any], body: bytes) -> None:
    target.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n" + body)
    target.flush()


class Answering:
    """The question under way. `stop` comes from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[str, duckdb.DuckDBPyConnection] | None = None
        self._stopped: set[str] = set()
        self._is_late = False
        self._opened: tuple[str, Catalogue] | None = None

    def stop(self, question_id: str) -> None:
        """Interrupt a question; one that has not begun yet will not."""
        with self._lock:
            self._stopped.add(question_id)
            if self._running is not None and self._running[0] == question_id:
                self._running[1].interrupt()

    def answer(self, question: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Head and body of the answer to a question (see pool.py for its parts)."""
        began = time.monotonic()
        head: dict[str, Any] = {"id": question["id"], "state": "failed", "code": "failed", "detail": ""}
        body = b""
        try:
            catalogue = self._catalogue(question["place"])
            told, body = self._run(question, catalogue)
            head |= told
        except Refused as refusal:
            head |= {"state": "refused", "code": refusal.code, "detail": self._told(refusal.detail)}
        except (duckdb.OutOfMemoryException, MemoryError, pa.ArrowMemoryError):
            head |= {"code": "memory"}
            self._forget()
        except duckdb.InterruptException:
            head |= {"code": "late" if self._is_late else "stopped"}
            self._forget()
        except duckdb.Error as error:
            head |= self._problem(error, question)
        except Exception as error:
            head |= {"code": "failed", "detail": type(error).__name__}
            self._forget()
        return head | {"seconds": round(time.monotonic() - began, 3)}, body

    def _catalogue(self, place: Mapping[str, Any]) -> Catalogue:
        """The snapshot a question is about; the last one stays open for the next question."""
        key = json.dumps(place, sort_keys=True)
        if self._opened is None or self._opened[0] != key:
            self._forget()
            self._opened = (key, Catalogue(place))
        return self._opened[1]

    def _forget(self) -> None:
        if self._opened is not None:
            self._opened[1].connection.close()
            self._opened = None

    def _run(self, question: Mapping[str, Any], catalogue: Catalogue) -> tuple[dict[str, Any], bytes]:
        statement = checked(catalogue.connection, question["text"], catalogue.tables)
        values = _values(statement, question.get("values", {}))
        timer = threading.Timer(float(question["seconds"]), self._late, [str(question["id"])])
        with self._lock:
            if str(question["id"]) in self._stopped:
                raise duckdb.InterruptException("stopped")
            self._running, self._is_late = (str(question["id"]), catalogue.connection), False
        timer.daemon = True
        timer.start()
        try:
            answer, is_cut = _fetched(catalogue.connection, statement, values, int(question["rows"]))
        finally:
            timer.cancel()
            with self._lock:
                self._running = None
                self._stopped.discard(str(question["id"]))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, answer.schema) as writer:
            writer.write_table(answer)
        head = {"state": "answered", "code": "", "rows": answer.num_rows, "is_cut": is_cut}
        return head, sink.getvalue().to_pybytes()

    def _told(self, words: str) -> str:
        return self._opened[1].told(words) if self._opened is not None else ""

    def _late(self, question_id: str) -> None:
        with self._lock:
            if self._running is not None and self._running[0] == question_id:
                self._is_late = True
                self._running[1].interrupt()

    def _problem(self, error: duckdb.Error, question: Mapping[str, Any]) -> dict[str, Any]:
        """What went wrong, in the engine's words where they cannot hold what the reader may not see."""
        if self._opened is None or isinstance(error, duckdb.IOException | duckdb.InternalException):
            self._forget()
            return {"code": "unreadable"}
        may_tell = isinstance(error, SAFE_TO_TELL) or question["place"].get("is_whole", False)
        return {"code": "sql", "detail": self._told(str(error)) if may_tell else ""}


class Catalogue:
    """A snapshot, opened and locked: `place` has its `path`, the `statements` that build what the reader may
    see, and `is_whole`, whether that is every row and column of it."""

    def __init__(self, place: Mapping[str, Any]) -> None:
        self._hidden = re.compile(
            "|".join(re.escape(part) for part in _hidden_parts(str(place["path"]))) or r"(?!)"
        )
        self.connection = duckdb.connect(":memory:", config=CONFIGURATION)
        try:
            self.connection.execute("SET TimeZone = 'UTC'")
            for statement in place["statements"]:
                self.connection.execute(statement)
            self.connection.execute(f"USE {CATALOG}")
            self.connection.execute(
                "SET search_path = '" + ",".join(f"{CATALOG}.{schema}" for schema in self._schemas()) + "'"
            )
            self.tables = {schema: self._names(schema) for schema in SCHEMAS}
            self.connection.execute("SET enable_external_access = false")
            self.connection.execute("SET lock_configuration = true")
        except duckdb.Error:
            self.connection.close()
            raise

    def told(self, words: str) -> str:
        """Words without a trace of where the snapshot lies, cut where a value in them has no end."""
        told = self._hidden.sub("…", words)
        return told if len(told) <= LONGEST_DETAIL else told[:LONGEST_DETAIL] + "…"

    def _names(self, schema: str) -> list[str]:
        rows = self.connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = $catalog AND schema_name = $schema "
            "UNION ALL SELECT view_name FROM duckdb_views() "
            "WHERE database_name = $catalog AND schema_name = $schema",
            {"catalog": CATALOG, "schema": schema},
        ).fetchall()
        return [name for (name,) in rows]

    def _schemas(self) -> list[str]:
        rows = self.connection.execute(
            "SELECT schema_name FROM duckdb_schemas() WHERE database_name = $catalog", {"catalog": CATALOG}
        ).fetchall()
        there = {name for (name,) in rows}
        return [schema for schema in SCHEMAS if schema in there]


def _hidden_parts(path: str) -> list[str]:
    """A path and the folders above it, the longest first."""
    parts = [path]
    while (above := os.path.dirname(parts[-1])) not in ("", "/", parts[-1]):
        parts.append(above)
    return parts


def _values(statement: Statement, given: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
    """The value of each parameter that the statement names. Raises Refused for one that has none, or a wrong
    one."""
    missing = [name for name in statement.parameters if name not in given]
    if missing:
        raise Refused("missing_value", missing[0])
    return {name: value_of(name, **given[name]) for name in statement.parameters}


def value_of(name: str, kind: str, text: str) -> object:
    """A value from how it is written: `kind` is text, whole, number, day, instant or yes_no."""
    try:
        if kind == "whole":
            return int(text)
        if kind == "number":
            number = Decimal(text)
            if not number.is_finite():
                raise ValueError(text)
            return number
        if kind == "day":
            return date.fromisoformat(text)
        if kind == "instant":
            return datetime.fromisoformat(text)
        if kind == "yes_no":
            return {"yes": True, "no": False}[text]
    except (ValueError, KeyError, InvalidOperation) as error:
        raise Refused("wrong_value", name) from error
    return None if kind == "nothing" else text


def _fetched(
    connection: duckdb.DuckDBPyConnection, statement: Statement, values: dict[str, object], limit: int
) -> tuple[pa.Table, bool]:
    """At most `limit` rows, and whether there were more, or more bytes than an answer may have."""
    reader = connection.execute(statement.text, values or None).to_arrow_reader(ROWS_AT_A_TIME)
    if len(reader.schema) > MOST_COLUMNS:
        raise Refused("too_wide")
    batches: list[pa.RecordBatch] = []
    rows, size, is_cut = 0, 0, False
    for batch in reader:
        is_cut = rows + batch.num_rows > limit or size + batch.nbytes > ANSWER_BYTES
        fits = batch.slice(0, limit - rows) if size + batch.nbytes <= ANSWER_BYTES else batch.slice(0, 0)
        batches.append(fits)
        rows, size = rows + fits.num_rows, size + fits.nbytes
        if is_cut:
            break
    return plain(pa.Table.from_batches(batches, reader.schema)), is_cut


def plain(answer: pa.Table) -> pa.Table:
    """An answer whose columns have different names, and types that every reader of Arrow knows.

    What is no number, text, truth, day or instant becomes text, as do days beyond the calendar.
    """
    names: list[str] = []
    columns: list[Any] = []
    for position, name in enumerate(answer.column_names):
        unique, number = name, 1
        while unique in names:
            number += 1
            unique = f"{name}_{number}"
        names.append(unique)
        columns.append(_plain(answer.column(position)))
    return pa.table(columns, names=names)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = values.type
    if pa.types.is_timestamp(kind):
        instants = values.cast(pa.timestamp("us", kind.tz), safe=False)
        return instants if _is_of_the_calendar(instants, 1_000_000 * 86_400) else _texts(values)
    if pa.types.is_date(kind):
        return values if _is_of_the_calendar(values, 1) else _texts(values)
    is_known = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_string(kind)
        or pa.types.is_decimal(kind)
    )
    return values if is_known else _texts(values)


def _is_of_the_calendar(values: pa.ChunkedArray, units_a_day: int) -> bool:
    """Whether all days lie in the years 1 to 9999."""
    bounds = pc.min_max(values.cast(pa.int32() if units_a_day == 1 else pa.int64()))
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    epoch = date(1970, 1, 1).toordinal()
    first, end = (1 - epoch) * units_a_day, (date.max.toordinal() + 1 - epoch) * units_a_day
    return low is None or (first <= low and high < end)


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    with duckdb.connect(":memory:", config=CONFIGURATION) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("answer", pa.table({"value": values}))
        asked = connection.execute("SELECT value::VARCHAR AS value FROM answer")
        return asked.to_arrow_table().column("value")


if __name__ == "__main__":
    main()
