"""Usage import beside a bare COPY of the same events, and their rating: part of `make bench-billing`.

Claims, on PostgreSQL: taking in N events from Parquet (each checked, hashed, looked up among those known, its
customer's days reopened) costs at most three times the bare COPY of the very same rows into the same keyed
table; working out what they cost in a bill run afterwards takes at most half of that COPY. Both sides run in
turn in one process on copies of one prepared database; the bare side is one transaction and is given its text
ready made. CPU seconds are those of this process and of its database backend. Both wall and CPU have to keep
the limit. SIZE=small checks that the benchmark works, not its figures; SIZE=middle takes a million events.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
from base import AT, multiply, open_shop, subscribe_one
from clock import Cost, cost_of, peak_mb
from copies import copy_in, copy_out
from servers import create_database, drop_database, postgres
from sqlalchemy import func, select

from billing.jobs.bill_draft import draft
from billing.jobs.bill_facts import MEMBERS
from billing.jobs.bill_run import bill
from billing.jobs.usage_files import import_usage_files
from billing.store.store import Store, open_store
from billing.store.tables import items, usage_events

IMPORT_LIMIT, RATING_LIMIT = 3.0, 0.5
SIZES = {"small": 20_000, "middle": 1_000_000, "full": 10_000_000}
EVENTS_AN_ITEM = 500
IMPORTED = datetime(2025, 2, 1, 6, tzinfo=UTC)
BILLED_ON = date(2025, 2, 1)
JANUARY = 31 * 86_400
COLUMNS = ", ".join(f'"{column.name}"' for column in usage_events.c)


def prepare(url: str, count: int) -> list[str]:
    """Metered subscriptions, billed up to the first day; their items."""
    with open_store(url) as store:
        store.migrate()
        open_shop(store)
        subscribe_one(store, "metered")
        multiply(store, max(count // EVENTS_AN_ITEM, 2) - 1)
        bill(store, AT, up_to=AT.date())
        return store.frame(select(items.c.item_id))["item_id"].sort().to_list()


def write_events(path: Path, item_ids: list[str], count: int) -> None:
    """A Parquet file of January's events in the order they happened, with ids in no order."""
    with pq.ParquetWriter(path, events(item_ids, 0, 1, count).to_arrow().schema) as file:
        for first in range(0, count, 500_000):
            part = events(item_ids, first, min(500_000, count - first), count)
            file.write_table(part.to_arrow(), row_group_size=100_000)


def events(item_ids: list[str], first: int, rows: int, count: int) -> pl.DataFrame:
    place = pl.int_range(first, first + rows, dtype=pl.Int64)
    mixed = (place * 7_919_993) % count
    since = pl.duration(seconds=place * JANUARY // count)
    return pl.select(
        pl.repeat("meter", rows, dtype=pl.String).alias("source"),
        pl.format("{}-{}", (mixed * 2_654_435_761) % 4_294_967_291, place).alias("event_id"),
        pl.lit(pl.Series(item_ids)).gather(mixed % len(item_ids)).alias("item_id"),
        pl.repeat("calls", rows, dtype=pl.String).alias("meter_id"),
        (pl.lit(AT.replace(hour=0)) + since).cast(pl.Datetime("us", "UTC")).alias("occurred_at"),
        (1 + mixed % 1000).cast(pl.String).alias("value"),
    )


def copied(store: Store, path: Path) -> None:
    with store.transaction():
        copy_in(store, f"COPY usage_events ({COLUMNS}) FROM STDIN", path)


def drafted(store: Store) -> int:
    """Work out what a bill run would post, chunk by chunk as it does; how many lines that is."""
    lines = 0
    for chunk in store.frame(MEMBERS).sort("root_id", "customer_id").iter_slices(10_000):
        with store.transaction():
            store.join_by_index()
            lines += draft(store, IMPORTED, chunk, BILLED_ON).lines.height
    return lines


def measure(url: str, folder: Path, count: int) -> bool:
    """Print both claims; whether they hold."""
    item_ids = prepare(create_database(url, "usage_origin"), count)
    file, rows = folder / "events.parquet", folder / "events.copy"
    write_events(file, item_ids, count)
    imported = create_database(url, "usage_import", "usage_origin")
    bare = create_database(url, "usage_bare", "usage_origin")
    lines: list[int] = []
    with open_store(imported) as store:
        taken = cost_of(lambda: import_usage_files(store, IMPORTED, [file]), store)
        peak = peak_mb()
        assert store.rows(select(func.count().label("n")).select_from(usage_events))[0]["n"] == count
        asked = f"COPY (SELECT {COLUMNS} FROM usage_events ORDER BY seq) TO STDOUT"
        copy_out(store, asked, rows)
        with open_store(bare) as other:
            bare_cost = cost_of(lambda: copied(other, rows), other)
        rated = cost_of(lambda: lines.append(drafted(store)), store)
    assert lines == [len(item_ids)], f"{lines} lines for {len(item_ids)} items"
    for name in ("usage_import", "usage_bare", "usage_origin"):
        drop_database(url, name)
    print(f"importing {count:,} events held {peak:,.0f} MB at most")
    holds = [
        claim(f"import {count:,} usage events from Parquet", taken, bare_cost, IMPORT_LIMIT),
        claim(f"rate {count:,} usage events of {len(item_ids):,} items", rated, bare_cost, RATING_LIMIT),
    ]
    return all(holds)


def claim(what: str, ours: Cost, bare: Cost, limit: float) -> bool:
    wall, cpu = ours.wall / bare.wall, ours.all_cpu / bare.all_cpu
    holds = max(wall, cpu) <= limit
    print(
        f"{what} (PostgreSQL): {ours.wall:.1f} s wall {ours.all_cpu:.1f} s CPU | bare COPY {bare.wall:.1f} s "
        f"wall {bare.all_cpu:.1f} s CPU | wall ratio {wall:.2f}, CPU ratio {cpu:.2f} | limit {limit} | "
        f"{'ok' if holds else 'short'}",
        flush=True,
    )
    return holds


def main() -> None:
    size = os.environ.get("SIZE", "full")
    with postgres() as url, tempfile.TemporaryDirectory() as folder:
        holds = measure(url, Path(folder), SIZES[size])
    sys.exit(0 if holds or size == "small" else 1)


if __name__ == "__main__":
    main()
