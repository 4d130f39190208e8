"""Where a company's warehouse lies: the private stage file, the published snapshots, and how they are read.

Decides names, the atomic pointer and the read-only connection. What goes into a snapshot, run.py decides.

    <company>/warehouse/current                       name of the newest snapshot, one line
    <company>/warehouse/warehouse-<build_id>.duckdb   published snapshots, the last 7
    <company>/warehouse/policy-<build_id>.duckdb      beside one: its figures under other definitions
    <company>/warehouse/stage/warehouse.duckdb        the build in progress, seen by nobody else
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import polars as pl
import pyarrow as pa

CATALOG = "warehouse"
KEPT_SNAPSHOTS = 7
ROW_LIMIT = 10_000
LOADING_MEMORY = "1GB"
"""What DuckDB may hold in memory while sources are loaded."""
ACTING_FUNCTIONS = {
    *("checkpoint", "force_checkpoint", "enable_logging", "disable_logging", "truncate_duckdb_logs"),
    *("enable_profiling", "disable_profiling", "enable_profile", "disable_profile"),
    *("query", "json_execute_serialized_sql"),
}
"""What a SELECT can call that does more than answer, or that runs a text as a statement."""


class WarehouseError(Exception):
    """The warehouse can't be read as asked. The message says what, where, and what to do."""


def warehouse_folder(folder: Path) -> Path:
    """The folder of snapshots of the company in `folder`."""
    return folder / "warehouse"


def stage_path(folder: Path) -> Path:
    """The private file of a build. Its name is its catalog, which views carry: always warehouse.duckdb."""
    return warehouse_folder(folder) / "stage" / f"{CATALOG}.duckdb"


def snapshot_path(folder: Path, build_id: str) -> Path:
    """The file that a published build has; names are never reused."""
    return warehouse_folder(folder) / f"warehouse-{build_id}.duckdb"


def policy_path(snapshot: Path) -> Path:
    """The file beside a snapshot with its figures under other definitions (pipelines/alternatives.py)."""
    return snapshot.with_name(f"policy-{build_id_of(snapshot)}.duckdb")


def build_id_of(snapshot: Path) -> str:
    """The build that made a snapshot, from its name."""
    return snapshot.stem.removeprefix("warehouse-")


def current(folder: Path) -> Path | None:
    """The newest published snapshot of the company in `folder`; None when there is none yet."""
    pointer = warehouse_folder(folder) / "current"
    try:
        name = pointer.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    path = pointer.with_name(name)
    return path if name and path.is_file() else None


class Snapshot:
    """One published snapshot, open for reading: in memory, with the file attached as `warehouse`.

    It goes on reading its own file when a newer build is published. Use a cursor per thread.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.build_id = build_id_of(path)
        self._connection = duckdb.connect(":memory:")
        try:
            self._connection.execute("SET TimeZone = 'UTC'")
            self._connection.execute(f"ATTACH {quoted(str(path))} AS {CATALOG} (READ_ONLY)")
            self._connection.execute(f"USE {CATALOG}")
            if policy_path(path).is_file():
                self._connection.execute(f"ATTACH {quoted(str(policy_path(path)))} AS policy (READ_ONLY)")
        except duckdb.Error as error:
            self._connection.close()
            raise WarehouseError(f"The snapshot {path} cannot be opened: {error}") from error

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one thread; unqualified names resolve in `warehouse`."""
        cursor = self._connection.cursor()
        cursor.execute(f"USE {CATALOG}")
        return cursor

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_snapshot(folder: Path) -> Snapshot:
    """Open the newest snapshot of the company in `folder`. Raises WarehouseError when there is none."""
    path = current(folder)
    if path is None:
        raise WarehouseError(f"{folder.name} has no warehouse yet: run `tajdid warehouse build` first.")
    return Snapshot(path)


def run_sql(folder: Path, statement: str, limit: int = ROW_LIMIT) -> pl.DataFrame:
    """Answer one read-only statement from the newest snapshot, at most `limit` rows of it.

    Only SELECT, EXPLAIN and DESCRIBE; no file, address or setting outside the snapshot can be reached.
    Raises WarehouseError for anything else, and for SQL that the engine refuses.
    """
    asked = _one_statement(statement)
    _refuse_unless_reading(asked)
    with open_snapshot(folder) as snapshot:
        cursor = snapshot.cursor()
        cursor.execute("SET enable_external_access = false")
        cursor.execute("SET lock_configuration = true")
        try:
            reader = cursor.execute(asked.query).to_arrow_reader(limit)
            parts, rows = [_frame(pa.Table.from_batches([], reader.schema))], 0
            for batch in reader:
                parts.append(_frame(pa.Table.from_batches([batch.slice(0, limit - rows)])))
                rows += parts[-1].height
                if rows >= limit:
                    break
        except duckdb.Error as error:
            raise WarehouseError(str(error)) from error
    return pl.concat(parts)


def _one_statement(text: str) -> duckdb.Statement:
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise WarehouseError(f"This is no SQL: {error}") from error
    if len(statements) != 1:
        raise WarehouseError(f"Exactly one statement is answered at a time; there are {len(statements)}.")
    return statements[0]


def _refuse_unless_reading(asked: duckdb.Statement) -> None:
    """Look behind EXPLAIN, which can run what it explains: a snapshot's own file stays in reach of COPY."""
    words = _words(asked.query)
    kind = asked.type
    if kind == duckdb.StatementType.EXPLAIN:
        kind = _explained(words)
    if kind != duckdb.StatementType.SELECT:
        raise WarehouseError(
            f"Only SELECT, EXPLAIN of a SELECT and DESCRIBE are answered, not {kind.name}: "
            "the warehouse is read-only."
        )
    for word, following in pairwise(words):
        name = re.match(r'"?(\w+)', word)
        if name and name[1].lower() in ACTING_FUNCTIONS and following.startswith("("):
            raise WarehouseError(f"{name[1].lower()}() is not answered: it does more than read.")


def _words(query: str) -> list[str]:
    """The tokens of a statement as they are written; a comment goes with the token before it."""
    raw = query.encode()
    starts = [start for start, _ in duckdb.tokenize(query)]
    return [raw[start:end].decode() for start, end in zip(starts, [*starts[1:], len(raw)], strict=True)]


def _explained(words: list[str]) -> duckdb.StatementType:
    """The kind of the statement behind EXPLAIN and its options: the first rest that is a statement."""
    for first in range(1, len(words)):
        try:
            return duckdb.extract_statements("".join(words[first:]))[0].type
        except duckdb.Error:
            continue
    return duckdb.StatementType.INVALID


def _frame(answer: pa.Table) -> pl.DataFrame:
    """An answer as a frame: a name that comes again gets a number, types that Polars has not become text."""
    columns: dict[str, Any] = {}
    for position, name in enumerate(answer.column_names):
        kind, values = answer.schema.field(position).type, answer.column(position)
        if _needs_text(kind):
            values = _texts(values)
        unique, number = name, 1
        while unique in columns:
            number += 1
            unique = f"{name}_{number}"
        columns[unique] = values
    return pl.DataFrame(pl.from_arrow(pa.table(columns)))


def _needs_text(kind: pa.DataType) -> bool:
    parts = (kind.field(number).type for number in range(kind.num_fields))
    return pa.types.is_interval(kind) or pa.types.is_union(kind) or any(_needs_text(part) for part in parts)


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    with duckdb.connect(":memory:") as connection:
        connection.register("answer", pa.table({"value": values}))
        return (
            connection.execute("SELECT value::VARCHAR AS value FROM answer").to_arrow_table().column("value")
        )


def start_stage(folder: Path, origin: Path | None) -> Path:
    """Make the private stage file: a copy of `origin`, or nothing yet. Removes what a build left there."""
    clear_stage(folder)
    stage = stage_path(folder)
    stage.parent.mkdir(parents=True, exist_ok=True)
    if origin is not None:
        shutil.copyfile(origin, stage)
    return stage


def open_stage(stage: Path) -> duckdb.DuckDBPyConnection:
    """A connection to the stage file for loading sources: what does not fit into its share of memory is kept
    beside the file."""
    return duckdb.connect(stage, config={"memory_limit": LOADING_MEMORY})


def clear_stage(folder: Path) -> None:
    """Remove the stage with everything in it, if there is one."""
    shutil.rmtree(stage_path(folder).parent, ignore_errors=True)


def publish(folder: Path, build_id: str) -> Path:
    """Give the finished, closed stage file its name and let readers see it, at once or not at all.

    Raises WarehouseError when a snapshot of that name exists: names are never reused.
    """
    target = snapshot_path(folder, build_id)
    if target.exists():
        raise WarehouseError(f"{target} exists already; a build never replaces a snapshot.")
    stage = stage_path(folder)
    _date_after(stage, current(folder))
    _sync(stage)
    stage.rename(target)
    pointer = warehouse_folder(folder) / "current"
    partial = pointer.with_name(".current.partial")
    try:
        partial.write_text(target.name + "\n", encoding="utf-8")
        _sync(partial)
        partial.replace(pointer)
    except BaseException:
        if current(folder) != target:
            target.unlink(missing_ok=True)
        raise
    _sync(pointer.parent)
    return target


def _date_after(stage: Path, newest: Path | None) -> None:
    """Let times of files tell the order of snapshots, also when the machine's clock was set back."""
    if newest is not None:
        earliest = newest.stat().st_mtime_ns + 1
        if stage.stat().st_mtime_ns < earliest:
            os.utime(stage, ns=(earliest, earliest))


def prune(folder: Path, keep: int = KEPT_SNAPSHOTS) -> list[Path]:
    """Delete all but the newest `keep` snapshots, and those that were named but never pointed at."""
    newest = current(folder)
    snapshots = sorted(
        warehouse_folder(folder).glob("warehouse-*.duckdb"), key=lambda path: path.stat().st_mtime_ns
    )
    orphans = [path for path in snapshots if newest and path.stat().st_mtime_ns > newest.stat().st_mtime_ns]
    older = [path for path in snapshots if path not in orphans and path != newest]
    doomed = orphans + older[: max(len(older) - (keep - 1), 0)]
    for path in doomed:
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
        policy_path(path).unlink(missing_ok=True)
    return doomed


FULL = re.compile(
    "no space left|disk quota|file too large|out of disk|max_temp_directory_size", re.IGNORECASE
)


def is_disk_full(error: BaseException | str) -> bool:
    """Whether something went wrong because there was no room to write."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return True
    return bool(FULL.search(str(error)))


def quoted(text: str) -> str:
    """A SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
