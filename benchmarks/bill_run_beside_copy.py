"""A bill run beside a bare copy of the rows it wrote: `make bench-billing`.

Claims, each with both sides in one run:
- billing N subscription items (a fee and graduated seats, tax, a discount on every tenth, journal, outbox,
  unique keys) costs at most three times what writing the same rows into the same tables and the same update
  of the customers do, on SQLite and on PostgreSQL;
- four times the items cost at most 4.4 times as much, in the same memory;
- the 36th monthly run of a base costs at most 1.2 times the second.

Costs are CPU seconds of this process and of its PostgreSQL backend; wall seconds stand beside them. The
databases are prepared in bulk (base.py). SIZE=small checks that the benchmark works, not its figures;
SIZE=full is the default; SIZE=million bills 1 and 4 million items on PostgreSQL and takes hours of disk work
on a small machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

import polars as pl
from base import AT, FIRST, multiply, open_shop, subscribe_one
from clock import Cost, cost_of, peak_mb
from servers import create_database, drop_database, postgres
from sqlalchemy import select

from billing.jobs.bill_run import bill
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

WRITTEN = (
    tables.invoices,
    tables.line_items,
    tables.tax_lines,
    tables.journal_entries,
    tables.journal_lines,
    tables.outbox,
)
DAYS = select(
    tables.customers.c.customer_id, tables.customers.c.next_bill_on, tables.customers.c.unsettled_from
)


@dataclass(frozen=True)
class Size:
    """How many items each claim is measured on, and how often."""

    sqlite: tuple[int, ...]
    postgresql: tuple[int, ...]
    history: int
    months: int
    repeats: int


SIZES = {
    "small": Size((500,), (500,), 100, 4, 1),
    "full": Size((25_000,), (25_000, 100_000), 2_000, 36, 3),
    "million": Size((), (1_000_000, 4_000_000), 2_000, 36, 1),
}


@contextmanager
def prepared(url: str, items: int) -> Iterator[Store]:
    """A base of items of which nothing is billed."""
    with open_store(url, IdGenerator(1)) as store:
        store.migrate()
        with store.transaction():
            open_shop(store)
            subscribe_one(store, "plan")
        multiply(store, items - 1)
        if not store.is_sqlite:
            store.analyze()
        yield store


def billed(url: str, items: int) -> tuple[Cost, list[tuple[tables.Table, pl.DataFrame]], pl.DataFrame]:
    """The cost of the first run, the rows it wrote and the days it set."""
    with prepared(url, items) as store:
        cost = cost_of(lambda: bill(store, AT, up_to=FIRST), store)
        frames = [
            (
                table,
                store.frame(
                    table.select().where(table.c.topic == "invoice.issued")
                    if table is tables.outbox
                    else table.select()
                ),
            )
            for table in WRITTEN
        ]
        lines = next(frame.height for table, frame in frames if table is tables.line_items)
        assert lines == 2 * items, f"{lines} lines for {items} items of two components"
        return cost, frames, store.frame(DAYS)


def copied(url: str, items: int, frames: list[tuple[tables.Table, pl.DataFrame]], days: pl.DataFrame) -> Cost:
    """The cost of the bare copy of these rows and of the same update."""

    def copy(store: Store) -> None:
        with store.transaction():
            for table, frame in frames:
                store.insert(table, frame)
            store.update(tables.customers, days, AT)

    with prepared(url, items) as store:
        return cost_of(lambda: copy(store), store)


def median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(part) for part in zip(*costs, strict=True)))


def report(claim: str, ours: Cost, bare: Cost, limit: float, others: str = "") -> bool:
    """One line: both sides, the ratio of their CPU seconds, and whether it is within the limit."""
    ratio = ours.all_cpu / bare.all_cpu
    verdict = "ok" if ratio <= limit else "short"
    print(
        f"{claim}: {ours.all_cpu:.2f} s CPU ({ours.wall:.2f} s wall) | beside {bare.all_cpu:.2f} s CPU "
        f"({bare.wall:.2f} s wall) | ratio {ratio:.2f} | limit {limit} | {verdict}{others}",
        flush=True,
    )
    return ratio <= limit


def beside_copy(databases: Callable[[], str], name: str, sizes: tuple[int, ...], repeats: int) -> list[bool]:
    """The run beside the bare copy, at each size; and that cost grows with size, not faster."""
    holds, runs = [], []
    for items in sizes:
        ours, bare = [], []
        for _ in range(repeats):
            cost, frames, days = billed(databases(), items)
            ours.append(cost)
            bare.append(copied(databases(), items, frames, days))
            rows = sum(frame.height for _, frame in frames)
        runs.append(median(ours))
        others = (
            f" | {rows:,} rows, {2 * items / runs[-1].all_cpu:,.0f} lines a CPU second, {peak_mb():,.0f} MB"
        )
        holds.append(report(f"bill {items:,} items on {name}", runs[-1], median(bare), 3.0, others))
    for small, large, few, many in zip(runs, runs[1:], sizes, sizes[1:], strict=False):
        limit = 1.1 * many / few
        holds.append(report(f"bill {many:,} items beside {few:,} on {name}", large, small, limit))
    return holds


def history(url: str, items: int, months: int) -> bool:
    """The last of many monthly runs beside the second."""
    costs = []
    with prepared(url, items) as store:
        for month in range(months):
            on = date(FIRST.year + month // 12, month % 12 + 1, 1)
            at = datetime(on.year, on.month, on.day, 6, tzinfo=UTC)
            costs.append(cost_of(lambda at=at, on=on: bill(store, at, up_to=on), store))
    late, early = median(costs[-3:]), median(costs[1:4])
    return report(
        f"bill month {months} of {items:,} items beside month 2 (medians of three)", late, early, 1.2
    )


def main() -> None:
    size = SIZES[os.environ.get("SIZE", "full")]
    holds = []
    with postgres() as server:
        numbers = count(1)
        made: list[str] = []

        def fresh() -> str:
            """A new database; the one before is dropped, so that the disk holds two at most."""
            if len(made) > 1:
                drop_database(server, made.pop(0))
            made.append(f"bench_{next(numbers)}")
            return create_database(server, made[-1])

        holds += beside_copy(fresh, "PostgreSQL", size.postgresql, size.repeats)
        holds.append(history(fresh(), size.history, size.months))
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        places = count(1)
        holds += beside_copy(
            lambda: f"sqlite:///{Path(folder) / f'{next(places)}.db'}", "SQLite", size.sqlite, size.repeats
        )
    sys.exit(0 if all(holds) or os.environ.get("SIZE") == "small" else 1)


if __name__ == "__main__":
    main()
