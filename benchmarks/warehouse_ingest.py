"""Reading a billing database into raw tables beside the bare copy: part of `make bench-warehouse`.

Claim, on SQLite and on PostgreSQL: taking everything in for the first time (each raw table joined, typed and
compared with what is known) costs at most 1.5 times DuckDB's bare copy of the same tables through ATTACH, in
wall and in CPU seconds of this process. Sides take turns, and medians are shown. A second reading that finds
nothing new is printed beside. SIZE=small checks that the benchmark works, not its figures.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
from base import AT, open_base
from clock import Cost, cost_of, median
from servers import create_database, drop_database, postgres

from billing.jobs.bill_run import bill
from billing.store.store import open_store
from pipelines.sources import billing
from pipelines.sources.loading import SourceConfig, Stage, create_raw_tables

LIMIT, RUNS = 1.5, 3
SIZES = {"small": 500, "middle": 20_000, "full": 100_000}
BILLED_UP_TO = date(2025, 6, 1)
BUILT_AT = datetime(2026, 1, 1, tzinfo=UTC)
READ = sorted({name for table in billing.TABLES for name in re.findall(r"\bengine_(\w+)", table.query)})
"""The engine's tables that the source reads."""


def prepare(url: str, customers: int) -> None:
    """Subscriptions with half a year of invoices, their lines and postings."""
    with open_store(url) as store:
        open_base(store, customers)
        bill(store, AT, up_to=BILLED_UP_TO)


def ingest(folder: Path, config: SourceConfig) -> tuple[Cost, Cost]:
    """The first reading into a new stage, and one that finds nothing new."""
    with duckdb.connect(folder / "stage.duckdb") as connection:
        create_raw_tables(connection)

        def read() -> None:
            stage = Stage(connection, "bench", BUILT_AT, folder, "EUR", "UTC", progress=lambda _: None)
            with stage.transaction():
                billing.load(stage, config)

        return cost_of(read), cost_of(read)


def copy(folder: Path, config: SourceConfig) -> Cost:
    url = config.location
    is_sqlite = url.startswith("sqlite:///")
    kind, place = ("sqlite", url.removeprefix("sqlite:///")) if is_sqlite else ("postgres", url)
    with duckdb.connect(folder / "copy.duckdb") as connection:
        connection.execute(f"SET extension_directory = '{folder / 'warehouse' / 'extensions'}'")
        connection.execute(f"LOAD {kind}_scanner")

        def work() -> None:
            connection.execute(f"ATTACH '{place}' AS source (TYPE {kind}, READ_ONLY)")
            for name in READ:
                connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM source."{name}"')

        return cost_of(work)


def measured(url: str, customers: int, name: str) -> bool:
    prepare(url, customers)
    config = SourceConfig("billing", "billing", url)
    firsts, seconds, bares = [], [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
            first, second = ingest(Path(folder), config)
            firsts.append(first)
            seconds.append(second)
            bares.append(copy(Path(folder), config))
    ours, again, bare = median(firsts), median(seconds), median(bares)
    wall, cpu = ours.wall / bare.wall, ours.cpu / bare.cpu
    holds = max(wall, cpu) <= LIMIT
    print(
        f"ingest {customers:,} customers from {name}: {ours.wall:.2f} s wall {ours.cpu:.2f} s CPU | bare "
        f"copy {bare.wall:.2f} s wall {bare.cpu:.2f} s CPU | wall ratio {wall:.2f}, CPU ratio {cpu:.2f} | "
        f"limit {LIMIT} | {'ok' if holds else 'short'} | again without news {again.cpu:.2f} s CPU",
        flush=True,
    )
    return holds


def main() -> None:
    size = os.environ.get("SIZE", "full")
    holds = []
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        holds.append(measured(f"sqlite:///{Path(folder) / 'bench.db'}", SIZES[size], "SQLite"))
    with postgres() as server:
        holds.append(measured(create_database(server, "ingest"), SIZES[size], "PostgreSQL"))
        drop_database(server, "ingest")
    sys.exit(0 if all(holds) or size == "small" else 1)


if __name__ == "__main__":
    main()
