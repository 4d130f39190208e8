"""A bill run beside a bare copy of the rows it wrote: `make bench-billing`.

Claim: billing N subscription items costs at most three times what writing the same rows into the same
tables does. Both sides run in turn in one process, on copies of one prepared database, several times; medians
of wall and CPU seconds are printed. SIZE=small checks that the benchmark works, not its figures.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
from sqlalchemy import Table

from billing.jobs.bill_run import bill
from billing.service import catalog, customers, subscriptions
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

LIMIT = 3.0
SIZES = {"small": (500,), "full": (5_000, 20_000)}
AT = datetime(2025, 1, 1, 6, tzinfo=UTC)
BILLED_ON = date(2025, 1, 1)
WRITTEN = (
    tables.invoices,
    tables.line_items,
    tables.tax_lines,
    tables.journal_entries,
    tables.journal_lines,
    tables.outbox,
)


def prepare(path: Path, items: int) -> None:
    """A database with `items` subscriptions to a plan of a fee and graduated seats, nothing billed yet."""
    store = open_store(f"sqlite:///{path}", IdGenerator(1))
    store.migrate()
    with store.transaction():
        catalog.create_legal_entity(store, AT, entity_id="seller", name="Seller", country="DE")
        catalog.add_tax_rate(store, AT, country="DE", tax_rate_ppm=190_000, valid_from=date(2020, 1, 1))
        catalog.create_product(store, AT, product_id="goods", name="Goods")
        catalog.create_plan(store, AT, plan_id="plan", name="Plan", product_id="goods")
        catalog.publish_plan_version(
            store,
            AT,
            plan_id="plan",
            interval="P1M",
            components=[
                catalog.NewComponent("Fee", "fee", component_id="fee"),
                catalog.NewComponent("Seats", "seat", component_id="seats"),
            ],
        )
        tiers = [catalog.NewTier(10, "12.50"), catalog.NewTier(50, "10.00"), catalog.NewTier(None, "7.99")]
        catalog.create_price_list(
            store,
            AT,
            list_id="list",
            name="List",
            currency="EUR",
            valid_start=date(2020, 1, 1),
            prices=[
                catalog.NewPrice("fee", "flat", price="49.00"),
                catalog.NewPrice("seats", "graduated", tiers=tiers),
            ],
        )
        for number in range(items):
            customer_id = f"c{number:06d}"
            customers.create_customer(
                store,
                AT,
                customer_id=customer_id,
                name=customer_id,
                entity_id="seller",
                currency="EUR",
                country="DE",
            )
            subscriptions.subscribe(
                store, AT, customer_id=customer_id, plan_id="plan", quantity=1 + number % 80
            )
    store.close()


def copied(origin: Path, folder: Path, name: str) -> Store:
    path = folder / name
    path.unlink(missing_ok=True)
    shutil.copyfile(origin, path)
    return open_store(f"sqlite:///{path}")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def new_rows(after: Store, before: Store, table: Table) -> pl.DataFrame:
    """The rows of a table that a run added."""
    key = [column.name for column in table.primary_key]
    return after.frame(table.select()).join(before.frame(table.select()), on=key, how="anti")


def copy_rows(store: Store, frames: list[tuple[Table, pl.DataFrame]]) -> None:
    with store.transaction():
        for table, frame in frames:
            store.insert(table, frame)


def measure(items: int, repeats: int) -> bool:
    """Print the claim for one size; whether it holds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        origin = folder / "origin.db"
        prepare(origin, items)
        runs, copies = [], []
        before = open_store(f"sqlite:///{origin}")
        for _ in range(repeats):
            store = copied(origin, folder, "run.db")
            runs.append(timed(lambda store=store: bill(store, AT, up_to=BILLED_ON)))
            frames = [(table, new_rows(store, before, table)) for table in WRITTEN]
            store.close()
            lines = next(frame.height for table, frame in frames if table is tables.line_items)
            assert lines == 2 * items, f"{lines} lines for {items} items of two components"
            bare = copied(origin, folder, "bare.db")
            copies.append(timed(lambda bare=bare, frames=frames: copy_rows(bare, frames)))
            bare.close()
        before.close()
    wall, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
    bare_wall, bare_cpu = (statistics.median(copy[i] for copy in copies) for i in (0, 1))
    ratio = cpu / bare_cpu
    rows = sum(frame.height for _, frame in frames)
    print(
        f"bill {items:>7,} items, {rows:>9,} rows (SQLite): run {wall:.2f} s wall {cpu:.2f} s CPU | "
        "bare copy "
        f"{bare_wall:.2f} s wall {bare_cpu:.2f} s CPU | CPU ratio {ratio:.2f} | limit {LIMIT:.0f} | "
        f"{'ok' if ratio <= LIMIT else 'short'} | {lines / cpu:,.0f} lines per CPU second",
        flush=True,
    )
    return ratio <= LIMIT


def main() -> None:
    size = os.environ.get("SIZE", "full")
    holds = [measure(items, repeats=1 if size == "small" else 3) for items in SIZES[size]]
    sys.exit(0 if all(holds) or size == "small" else 1)


if __name__ == "__main__":
    main()
