"""A warehouse build: ingest, dbt build and tests, score, publish. The one place that holds this order.

A build works on a private stage file that starts as a copy of the newest snapshot. Whatever fails before
the last step leaves readers on that snapshot; only a finished build moves the pointer.
"""

from __future__ import annotations

import fcntl
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from pipelines import fingerprint, history, increment, lineage, meta, models, warehouse
from pipelines.policy import Policy
from pipelines.sources import KINDS, crm
from pipelines.sources.loading import SourceConfig, SourceError, Stage, create_raw_tables

__all__ = ["BuildRequest", "BuildResult", "SourceConfig", "SourceError", "build", "is_current"]


CLOCK_LAG = timedelta(hours=1)
ADDED_TO_THE_LAST = (
    ". This build added to the last one; `tajdid warehouse build --full` makes all rows anew, "
    "which tells whether that is why."
)
"""How far the clock may lag behind the last build; a build then counts as made just after it."""


class BuildError(Exception):
    """A build that can't go on. The message says what is wrong, where, and what to do."""


class BuildRunning(BuildError):
    """Another build of the company holds its lock."""


@dataclass(frozen=True)
class BuildRequest:
    """What a build takes. `folder` is the company's, `project` holds dbt_project.yml. `built_at` is UTC.
    `is_full`: all rows are made anew, also those that nothing happened to."""

    company: str
    folder: Path
    project: Path
    as_of: date
    built_at: datetime
    policy: Policy
    sources: tuple[SourceConfig, ...]
    is_sample: bool
    max_reject_share_bp: int = 10
    is_full: bool = False


@dataclass(frozen=True)
class BuildResult:
    """How a build ended. `status`: published or failed. `warehouse` is the published file, None when failed.

    `steps` are (name, seconds) in their order; `message` says in plain words what failed or what there is.
    `rejected_rows` is how many rows of the sources are set aside in the warehouse.
    """

    build_id: str
    status: str
    warehouse: Path | None
    seconds: float
    steps: tuple[tuple[str, float], ...] = ()
    message: str = ""
    rejected_rows: int = 0


@dataclass
class _Run:
    """A build under way: what it was asked, its step, and what it has found so far."""

    request: BuildRequest
    build_id: str
    progress: Callable[[str], None]
    started: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, float]] = field(default_factory=list)
    step: str = "start"
    tests: dict[str, int] = field(default_factory=dict)
    rejected_rows: int = 0

    @contextmanager
    def doing(self, step: str) -> Iterator[None]:
        """Name and time a step; a step that fails keeps its name."""
        self.step, started = step, time.monotonic()
        yield
        self.steps.append((step, round(time.monotonic() - started, 3)))

    @property
    def stage_file(self) -> Path:
        return warehouse.stage_path(self.request.folder)


def build(
    request: BuildRequest,
    *,
    score: Callable[[Path], None] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> BuildResult:
    """Load the sources, build and test the models, score, publish. A failure is a result, not an exception.

    `score` is given the path of the stage file, when the tests have passed and no connection is open on it.
    """
    return _published(_Run(request, _build_id(request), progress), lambda run: _build(run, score))


def _published(run: _Run, work: Callable[[_Run], tuple[Path, str]]) -> BuildResult:
    """Do the work under the company's lock; its failures become the result."""
    request = run.request
    try:
        warehouse.warehouse_folder(request.folder).mkdir(parents=True, exist_ok=True)
        with _only_build(request):
            try:
                published, message = work(run)
            finally:
                warehouse.clear_stage(request.folder)
    except BuildRunning as error:
        return BuildResult(run.build_id, "failed", None, 0.0, message=str(error))
    except (BuildError, SourceError, warehouse.WarehouseError) as error:
        return _ended(run, None, _without_room(run, error) or str(error))
    except BaseException as error:
        told = _without_room(run, error) or f"{run.step} failed: {type(error).__name__}: {error}"
        result = _ended(run, None, told)
        if isinstance(error, Exception):
            return result
        raise
    return _ended(run, published, message)


def rescore(
    request: BuildRequest, *, score: Callable[[Path], None], progress: Callable[[str], None] = lambda _: None
) -> BuildResult:
    """Score the published snapshot anew and publish the result; sources and models stay as they are.

    The as-of day is the snapshot's own. A failure is a result, not an exception, as in `build`.
    """
    return _published(_Run(request, _build_id(request), progress), lambda run: _rescore(run, score))


def is_current(request: BuildRequest) -> bool:
    """Whether the published snapshot was made from the same sources, policy, as-of day and code."""
    newest = warehouse.current(request.folder)
    if newest is None:
        return False
    wanted = _fingerprints(request)
    try:
        with warehouse.Snapshot(newest) as snapshot:
            rows = snapshot.cursor().execute("SELECT name, value FROM raw_meta.fingerprints").fetchall()
    except (warehouse.WarehouseError, duckdb.Error):
        return False
    return wanted["inputs"] is not None and dict(rows) == wanted


def _build(run: _Run, score: Callable[[Path], None] | None) -> tuple[Path, str]:
    folder, target = run.request.folder, warehouse.warehouse_folder(run.request.folder) / "target"
    newest = warehouse.current(folder)
    if newest is not None:
        warehouse.prune(folder)
        _follow(run, newest)
    request = run.request
    prints = _fingerprints(request)
    with run.doing("copy"):
        warehouse.start_stage(request.folder, newest)
    with run.doing("ingest"), warehouse.open_stage(run.stage_file) as connection:
        before = increment.known(connection)
        _prepare(run, connection, prints)
        _ingest(run, connection)
        way = increment.decide(connection, before, prints["code"], is_full=request.is_full)
        run.progress(f"models: {way.told()}")
    with run.doing("models"):
        run.progress("models: starting dbt")
        logs = request.folder / "logs"
        outcome = models.build_models(
            request.project, run.stage_file, target=target, logs=logs, progress=run.progress
        )
        run.tests = outcome.counts
        if outcome.failures:
            raise BuildError(_shown(outcome.failures, logs) + ("" if way.is_full else ADDED_TO_THE_LAST))
    with duckdb.connect(run.stage_file) as connection:
        models.drop_stale(connection, target)
        _write_test_results(connection, run.build_id, outcome)
        lineage.write(connection, target)
    with run.doing("score"):
        if score is not None:
            run.progress("score: starting")
            score(run.stage_file)
    with run.doing("publish"):
        with duckdb.connect(run.stage_file) as connection:
            _write_fingerprints(connection, prints)
            increment.close(connection)
            connection.execute("CHECKPOINT")
        published = warehouse.publish(request.folder, run.build_id)
    _after_publishing(run, published)
    passed = outcome.counts["passed"]
    return published, f"{outcome.models} models built, {passed} tests passed"


def _rescore(run: _Run, score: Callable[[Path], None]) -> tuple[Path, str]:
    folder = run.request.folder
    newest = warehouse.current(folder)
    if newest is None:
        raise BuildError(f"{run.request.company} has no warehouse yet: run `tajdid warehouse build` first.")
    _follow(run, newest)
    with run.doing("copy"):
        warehouse.start_stage(folder, newest)
    with warehouse.open_stage(run.stage_file) as connection:
        history.load(connection, folder)
        connection.execute(
            "UPDATE raw_meta.build SET build_id = ?, built_at = ?::TIMESTAMPTZ",
            [run.build_id, run.request.built_at],
        )
    with run.doing("score"):
        score(run.stage_file)
    with run.doing("publish"):
        with duckdb.connect(run.stage_file) as connection:
            connection.execute("CHECKPOINT")
        others = warehouse.policy_path(newest)
        if others.is_file():  # the models are the same, so are their figures under other definitions
            shutil.copyfile(others, warehouse.policy_path(warehouse.snapshot_path(folder, run.build_id)))
        published = warehouse.publish(folder, run.build_id)
    _after_publishing(run, published)
    return published, f"scored anew from {newest.name}"


def _follow(run: _Run, newest: Path) -> None:
    """Keep what the last build adds to history, and see that this one knows no less than that one knew.

    What was recorded after a build's moment does not count, so a clock that was set back would take rows
    away that readers have seen.
    """
    request, pointer = run.request, newest.with_name("current")
    try:
        history.keep(request.folder, newest)
        with warehouse.Snapshot(newest) as snapshot:
            known_to = snapshot.cursor().execute("SELECT max(known_to) FROM raw_meta.build").fetchall()[0][0]
    except (warehouse.WarehouseError, duckdb.Error) as error:
        if warehouse.is_disk_full(error):
            raise
        raise BuildError(
            f"The last snapshot can't be read: {error}. If another program has it open for writing, close "
            f"that; if the file is damaged, write the name of the snapshot before it into {pointer}. "
            "Then build again."
        ) from error
    if known_to is None or request.built_at > known_to:
        return
    if request.built_at < known_to - CLOCK_LAG:
        raise BuildError(
            f"This machine's clock says {request.built_at:%Y-%m-%d %H:%M} UTC, but the last build was made "
            f"at {known_to:%Y-%m-%d %H:%M} UTC; what was recorded since would be left out. Set the clock and "
            f"build again. If it was wrong at the last build, write the name of a snapshot from before into "
            f"{pointer}, or delete that file to build from nothing."
        )
    run.request = replace(request, built_at=known_to + timedelta(microseconds=1))
    run.build_id = _build_id(run.request)


def _after_publishing(run: _Run, published: Path) -> None:
    """Write the build's new truths to history. Readers see the snapshot already; the next build retries."""
    try:
        with run.doing("history"):
            history.keep(run.request.folder, published)
            warehouse.prune(run.request.folder)
    except (OSError, duckdb.Error, warehouse.WarehouseError) as error:
        run.progress(f"history: not written yet, the next build will: {error}")


def _prepare(run: _Run, connection: duckdb.DuckDBPyConnection, prints: dict[str, str | None]) -> None:
    """Give the stage its raw tables, keeping rows, and what was kept outside; check the policy's version."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw_meta")
    connection.execute("CREATE TABLE IF NOT EXISTS raw_meta.fingerprints (name VARCHAR, value VARCHAR)")
    before = dict(connection.execute("SELECT name, value FROM raw_meta.fingerprints").fetchall())
    if before and before.get("raw_tables") != prints["raw_tables"]:
        _renew_raw_tables(connection)
    create_raw_tables(connection)
    if before and before.get("loaders") != prints["loaders"]:
        connection.execute("UPDATE raw_meta.files SET content_hash = ''")
        connection.execute("DELETE FROM raw_meta.watermarks")
    history.load(connection, run.request.folder)
    _check_policy(connection, run.request)
    _drop_other_sources(run, connection)


def _renew_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the raw tables as they are defined now and carry their rows over, by column name."""
    tables = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE starts_with(table_schema, 'raw_') AND table_schema <> 'raw_history'"
    ).fetchall()
    for schema, name in tables:
        connection.execute(f'CREATE TEMP TABLE "{schema}.{name}" AS SELECT * FROM {schema}."{name}"')
        connection.execute(f'DROP TABLE {schema}."{name}"')
    create_raw_tables(connection)
    for schema, name in tables:
        columns = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = ? AND table_name = ? "
            "INTERSECT SELECT column_name FROM (DESCRIBE TABLE " + f'temp."{schema}.{name}")',
            [schema, name],
        ).fetchall()
        shared = ", ".join(f'"{column}"' for (column,) in columns)
        if shared and name != "currencies":
            connection.execute(
                f'INSERT INTO {schema}."{name}" BY NAME SELECT {shared} FROM temp."{schema}.{name}"'
            )
        connection.execute(f'DROP TABLE temp."{schema}.{name}"')


def _check_policy(connection: duckdb.DuckDBPyConnection, request: BuildRequest) -> None:
    """A definition version stands for one policy, for ever."""
    tables = ["raw_meta.policy"]
    if connection.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = 'raw_history' AND table_name = 'builds'"
    ).fetchall():
        tables.append("raw_history.builds")
    for table in tables:
        other = connection.execute(
            f"SELECT policy_hash FROM {table} WHERE definition_version = ? AND policy_hash <> ? LIMIT 1",
            [request.policy.definition_version, request.policy.policy_hash],
        ).fetchall()
        if other:
            raise BuildError(
                f"The metric policy changed, but definition_version is still "
                f"'{request.policy.definition_version}', under which figures with other definitions were "
                f"published. Give {request.folder / 'policy.toml'} a new definition_version, "
                "or undo the change."
            )


def _drop_other_sources(run: _Run, connection: duckdb.DuckDBPyConnection) -> None:
    """Remove the rows of sources that company.toml no longer names."""
    names = [source.name for source in run.request.sources]
    for table in _source_tables(connection):
        gone = connection.execute(
            f"DELETE FROM {table} WHERE source_system NOT IN (SELECT unnest(?)) RETURNING 1", [names]
        ).fetchall()
        if gone:
            run.progress(
                f"ingest: removed {len(gone):,} rows of {table} whose source is no longer configured"
            )
    for table in ("files", "watermarks"):
        connection.execute(
            f"DELETE FROM raw_meta.{table} WHERE source_name NOT IN (SELECT unnest(?))", [names]
        )
    connection.execute(
        "DELETE FROM raw_meta.rejects WHERE load_id IN (SELECT load_id FROM raw_meta.loads "
        "WHERE source_name NOT IN (SELECT unnest(?)))",
        [names],
    )


def _source_tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    rows = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.columns "
        "WHERE column_name = 'source_system' "
        "AND table_schema IN ('raw_app', 'raw_billing', 'raw_crm', 'raw_orders') ORDER BY 1"
    ).fetchall()
    return [name for (name,) in rows]


def _ingest(run: _Run, connection: duckdb.DuckDBPyConnection) -> None:
    request = run.request
    meta.write_build(
        connection,
        build_id=run.build_id,
        company=request.company,
        as_of=request.as_of,
        built_at=request.built_at,
        is_sample=request.is_sample,
        sources=request.sources,
    )
    meta.write_policy(connection, request.policy)
    meta.write_metrics(connection, *meta.registry_files(request.project / "models"))
    stage = Stage(
        connection,
        run.build_id,
        request.built_at,
        request.folder,
        request.policy.reporting_currency,
        request.policy.reporting_timezone,
        run.progress,
    )
    for source in request.sources:
        if source.kind not in KINDS:
            raise BuildError(f"Source '{source.name}' is of the unknown kind '{source.kind}'.")
        with stage.transaction():
            KINDS[source.kind](stage, source)
    _check_rejects(run, connection)
    crm.keep_received(stage)
    (run.rejected_rows,) = connection.execute("SELECT count(*) FROM raw_meta.rejects").fetchall()[0]


def _check_rejects(run: _Run, connection: duckdb.DuckDBPyConnection) -> None:
    """Fail when more of a table's rows, or of its amount, are set aside than the company allows."""
    limit = run.request.max_reject_share_bp
    tables = connection.execute(
        "SELECT target_table, sum(rows_read)::BIGINT, sum(rows_rejected)::BIGINT FROM raw_meta.loads "
        "SEMI JOIN raw_meta.files USING (load_id) GROUP BY 1 HAVING sum(rows_rejected) > 0 ORDER BY 1"
    ).fetchall()
    for table, read, rejected in tables:
        rejected_amount, amount = _amounts(connection, table)
        if rejected * 10_000 <= limit * read and rejected_amount * 10_000 <= limit * amount:
            continue
        reasons = connection.execute(
            "SELECT reason, column_name, count(*) FROM raw_meta.rejects "
            "WHERE target_table = ? GROUP BY ALL ORDER BY 3 DESC, 1, 2 LIMIT 6",
            [table],
        ).fetchall()
        told = ", ".join(f"{count:,} × {reason} ({column})" for reason, column, count in reasons)
        listing = run.request.folder / "logs" / f"rejects-{run.build_id}.csv"
        listing.parent.mkdir(parents=True, exist_ok=True)
        connection.sql("SELECT * FROM raw_meta.rejects ORDER BY file_name, row_number").write_csv(
            str(listing)
        )
        share = max(rejected * 100 / max(read, 1), rejected_amount * 100 / max(amount, 1))
        raise BuildError(
            f"{table}: {rejected:,} of {read:,} rows were set aside, {share:.2f} % of the rows or of their "
            f"amount (allowed: {limit / 100:g} %): {told}. All of them are in {listing}. Correct the source, "
            f"or allow more with max_reject_share_bp in company.toml."
        )


def _amounts(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, int]:
    """Absolute amounts of a raw table in minor units: of its rejects, and of all its rows with them."""
    (rejected,) = connection.execute(
        "SELECT coalesce(sum(abs(amount_minor)), 0)::BIGINT FROM raw_meta.rejects WHERE target_table = ?",
        [table],
    ).fetchall()[0]
    columns = {row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()}
    if "amount_minor" not in columns:
        return 0, 0
    (accepted,) = connection.execute(
        f"SELECT coalesce(sum(abs(amount_minor)), 0)::BIGINT FROM {table}"
    ).fetchall()[0]
    return rejected, rejected + accepted


def _write_test_results(
    connection: duckdb.DuckDBPyConnection, build_id: str, outcome: models.ModelsResult
) -> None:
    connection.execute("DELETE FROM raw_meta.test_results")
    connection.register("arriving", outcome.tests.to_arrow())
    connection.execute(
        "INSERT INTO raw_meta.test_results BY NAME SELECT ? AS build_id, * FROM arriving", [build_id]
    )
    connection.unregister("arriving")


def _fingerprints(request: BuildRequest) -> dict[str, str | None]:
    settings = {
        "company": request.company,
        "as_of": request.as_of,
        "policy": [request.policy.definition_version, request.policy.policy_hash],
        "is_sample": request.is_sample,
        "max_reject_share_bp": request.max_reject_share_bp,
    }
    return {
        "inputs": fingerprint.of_inputs(request.project, request.sources, settings),
        "code": fingerprint.of_code(request.project),
        "loaders": fingerprint.of_loaders(),
        "raw_tables": fingerprint.of_raw_tables(),
    }


def _write_fingerprints(connection: duckdb.DuckDBPyConnection, prints: dict[str, str | None]) -> None:
    connection.execute("DELETE FROM raw_meta.fingerprints")
    connection.executemany(
        "INSERT INTO raw_meta.fingerprints VALUES (?, ?)", [list(row) for row in prints.items()]
    )


@contextmanager
def _only_build(request: BuildRequest) -> Iterator[None]:
    """Hold the company's lock; it falls with the process, however that ends."""
    lock = warehouse.warehouse_folder(request.folder) / "lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BuildRunning(f"Another build of {request.company} is running; wait for its end.") from error
        yield


def _build_id(request: BuildRequest) -> str:
    """The build's moment, with a number where that moment has a build already."""
    moment = request.built_at.strftime("%Y%m%dT%H%M%S")
    taken = {path.stem for path in (request.folder / "history" / "builds").glob("*.parquet")}
    candidate, number = moment, 1
    while candidate in taken or warehouse.snapshot_path(request.folder, candidate).exists():
        number += 1
        candidate = f"{moment}-{number}"
    return candidate


def _shown(failures: tuple[str, ...], logs: Path) -> str:
    shown = list(failures[: models.SHOWN_FAILURES])
    if len(failures) > len(shown):
        shown.append(f"and {len(failures) - len(shown)} more")
    return "The models did not pass: " + "; ".join(shown) + f". Details: {logs / 'dbt.log'}"


def _without_room(run: _Run, error: BaseException) -> str | None:
    """What to say of an error whose cause is a full disk; None for any other."""
    if not warehouse.is_disk_full(error):
        return None
    folder = run.request.folder
    free = shutil.disk_usage(folder).free // 2**20
    return (
        f"{run.step} failed: there is no room to write ({error}). {free:,} MB are free in {folder}; a build "
        "needs room for two more snapshots. Free some, or allow this user more, and build again: nothing has "
        "to be repaired."
    )


def _ended(run: _Run, published: Path | None, message: str) -> BuildResult:
    """Log the end of a build and make its result."""
    seconds = round(time.monotonic() - run.started, 3)
    status = "failed" if published is None else "published"
    entry: dict[str, Any] = {
        "build_id": run.build_id,
        "company": run.request.company,
        "started_at": run.request.built_at.isoformat(),
        "finished_at": (run.request.built_at + timedelta(seconds=seconds)).isoformat(),
        "status": status,
        "step": run.step,
        "message": message,
        "seconds": seconds,
        "peak_memory_mb": _peak_memory_mb(),
        "steps": [{"name": name, "seconds": taken} for name, taken in run.steps],
        "tests": run.tests,
        "rejected_rows": run.rejected_rows,
    }
    try:
        _log(run.request.folder / "logs" / "builds.jsonl", entry)
    except OSError as error:
        run.progress(f"logs/builds.jsonl can't be written: {error}")
    run.progress(f"build {run.build_id}: {status} after {seconds:.1f} s: {message}")
    return BuildResult(run.build_id, status, published, seconds, tuple(run.steps), message, run.rejected_rows)


def _log(log: Path, entry: dict[str, Any]) -> None:
    """Append a line; one that broke off before it keeps to its own line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+b") as file:
        is_whole = True
        if file.seek(0, 2):
            file.seek(-1, 2)
            is_whole = file.read(1) == b"\n"
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        file.write(("" if is_whole else "\n").encode() + line.encode())


def _peak_memory_mb() -> int:
    """The largest process of this build so far: this one, or a child such as dbt."""
    usages = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(usages) // (1024 if sys.platform != "darwin" else 1024 * 1024)
