"""A bill run beside a bare copy of the rows it wrote: `make bench-billing`.

Claims, each with both sides in one run:
- billing N subscription items (a fee and graduated seats, tax, a discount on every tenth, journal, outbox,
  unique keys) costs at most three times what writing the same rows into the same tables and the same update
  of the customers do, on SQLite and on PostgreSQL, where all customers are alone and where credit, wallets
  and consolidation are in use: of ten customers two are sites on the invoice of a third, which has a wallet,
  one has credit of a note, one money on account;
- four times the items cost at most 4.4 times as much, in the same memory;
- a preview of one customer's change asks as many statements and costs as much among four times the others;
- the 36th monthly run of a base costs at most 1.2 times the second.

Costs are CPU seconds of this process and of its PostgreSQL backend; wall seconds stand beside them. The
databases are prepared in bulk (base.py). SIZE=small checks that the benchmark works, not its figures;
SIZE=full is the default; SIZE=million bills a quarter of a million and a million items on PostgreSQL.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
from base import AT, FIRST, lend, open_base
from clock import UNCHANGED, Cost, cost_of, forget_peak, median, peak_mb, report
from copies import Databases, OfFolder, OfServer, keep, written_bare
from servers import create_database, postgres
from sqlalchemy import func, select

from billing.jobs.bill_run import bill
from billing.service.previews import preview_change
from billing.service.subscriptions import change_quantity
from billing.store import tables
from billing.store.store import IdGenerator, Store, open_store

WRITTEN = {
    table: table.select()
    for table in (
        tables.invoices,
        tables.line_items,
        tables.tax_lines,
        tables.journal_entries,
        tables.journal_lines,
        tables.applications,
        tables.wallet_movements,
    )
}
"""What the run wrote: messages of the acts that prepared the base are not of it."""
WRITTEN[tables.outbox] = tables.outbox.select().where(tables.outbox.c.topic == "invoice.issued")
PREVIEWS = 20
MID_MONTH = datetime(2025, 1, 12, 6, tzinfo=UTC)
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
    "million": Size((), (250_000, 1_000_000), 2_000, 36, 1),
}


def prepare(url: str, items: int) -> None:
    """A base of items of which nothing is billed, each of a customer that is alone."""
    _prepare(url, items, in_use=False)


def prepare_all(url: str, items: int) -> None:
    """The same with customers that have sites, credit and wallets."""
    _prepare(url, items, in_use=True)


def _prepare(url: str, items: int, *, in_use: bool) -> None:
    with open_store(url, IdGenerator(1)) as store:
        open_base(store, items, trees=in_use)
        if in_use:
            lend(store)
        if not store.is_sqlite:
            store.analyze()


class Billed(NamedTuple):
    """A first run: its cost, the most memory this process held in it, the rows it wrote (kept in a folder,
    ready to be written again), the days it set, and the previews made of one change after it."""

    cost: Cost
    peak: float
    rows: int
    days: pl.DataFrame
    preview: Cost
    statements: int


def billed(url: str, items: int, folder: Path, in_use: bool) -> Billed:
    with open_store(url, IdGenerator(1)) as store:
        forget_peak()
        cost = cost_of(lambda: bill(store, AT, up_to=FIRST), store)
        peak = peak_mb()
        lines = store.row(select(func.count().label("n")).select_from(tables.line_items))
        assert lines is not None
        assert lines["n"] == 2 * items, f"{lines['n']} lines for {items} items of two components"
        applied = store.row(select(func.count().label("n")).select_from(tables.applications))
        assert applied is not None
        assert applied["n"] == (3 * items // 10 if in_use else 0), f"{applied['n']} applications"
        rows = keep(store, WRITTEN, folder)
        days = store.frame(DAYS)
        statements = preview_seats(store)
        preview = cost_of(lambda: [preview_seats(store) for _ in range(PREVIEWS)], store)
        return Billed(cost, peak, rows, days, preview, statements)


def preview_seats(store: Store) -> int:
    """Preview seven more seats for one customer; how many statements that took."""
    told = preview_change(
        store,
        MID_MONTH,
        lambda store, at: change_quantity(store, at, subscription_id="s0", quantity=8),
        customer_id="c0",
    )
    assert told.total_minor > 0, "more seats cost nothing"
    return told.statements


def beside_copy(
    databases: Databases, name: str, sizes: tuple[int, ...], repeats: int, *, in_use: bool
) -> list[bool]:
    """The run beside the bare copy, at each size; and that its cost grows with size, not faster, in the same
    memory."""
    holds, runs, peaks, previews = [], [], [], []
    statements: set[int] = set()
    if in_use:
        name = f"{name}, with credit, wallets and consolidation"
    for items in sizes:
        ours, bare = [], []
        databases.base(items, prepare_all if in_use else prepare)
        for _ in range(repeats):
            with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
                ours.append(billed(databases.fresh(), items, Path(folder), in_use))
                bare.append(
                    written_bare(databases.fresh(), WRITTEN, Path(folder), tables.customers, ours[-1].days)
                )
        runs.append(median([one.cost for one in ours]))
        peaks.append(statistics.median(one.peak for one in ours))
        previews.append(median([one.preview for one in ours]))
        print(
            f"preview of a change among {items:,} items on {name}: {ours[-1].statements} statements, "
            f"{1000 * previews[-1].wall / PREVIEWS:.0f} ms"
        )
        statements.add(ours[-1].statements)
        others = (
            f" | {ours[-1].rows:,} rows, {2 * items / runs[-1].all_cpu:,.0f} lines a CPU second, "
            f"{peaks[-1]:,.0f} MB"
        )
        holds.append(report(f"bill {items:,} items on {name}", runs[-1], median(bare), 3.0, others))
        holds.append(peaks[-1] <= 4096)
    for place in range(1, len(sizes)):
        few, many = sizes[place - 1], sizes[place]
        others = f" | {peaks[place]:,.0f} MB beside {peaks[place - 1]:,.0f} MB"
        claim = f"bill {many:,} items beside {few:,} on {name}"
        holds.append(report(claim, runs[place], runs[place - 1], 1.1 * many / few, others))
        claim = f"preview of a change among {many:,} items beside {few:,} on {name}"
        holds.append(report(claim, previews[place], previews[place - 1], 1.2))
        grown = peaks[place] / peaks[place - 1]
        print(f"memory for {many:,} items beside {few:,} on {name}: {grown:.2f} times | limit {UNCHANGED}")
        holds.append(grown <= UNCHANGED)
    return [*holds, len(statements) == 1]


def history(url: str, items: int, months: int) -> bool:
    """The last of many monthly runs beside the second."""
    costs = []
    prepare(url, items)
    with open_store(url, IdGenerator(1)) as store:
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
        for in_use in (False, True):
            databases = OfServer(server)
            holds += beside_copy(databases, "PostgreSQL", size.postgresql, size.repeats, in_use=in_use)
        holds.append(history(create_database(server, "history"), size.history, size.months))
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        for in_use in (False, True):
            databases = OfFolder(Path(folder))
            holds += beside_copy(databases, "SQLite", size.sqlite, size.repeats, in_use=in_use)
    sys.exit(0 if all(holds) or os.environ.get("SIZE") == "small" else 1)


if __name__ == "__main__":
    main()
