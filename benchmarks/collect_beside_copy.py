"""Collecting beside a bare copy of the rows it wrote: part of `make bench-billing`.

Claims, each with both sides in one run:
- charging N open invoices through the simulated gateway (each attempt saved before it is asked for, its
  answer, application, journal and message after) costs at most three times what writing the same rows into
  the same tables and the same update of the invoices do, on SQLite and on PostgreSQL;
- four times the invoices cost at most 4.4 times as much, in the same memory: that of a collection whose
  gateway keeps its own books in a file, as a real one keeps them elsewhere.

A tenth of the charges is declined, so cases are opened too. Costs are CPU seconds of this process and of its
PostgreSQL backend; wall seconds stand beside them. SIZE=small checks that the benchmark works, not its
figures; SIZE=full is the default; SIZE=million collects a quarter of a million and a million invoices on
PostgreSQL.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
from base import AT, FIRST, open_base, owe
from clock import UNCHANGED, Cost, alone, cost_of, forget_peak, median, peak_mb, report
from copies import Databases, OfFolder, OfServer, keep, written_bare
from servers import postgres
from sqlalchemy import select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.store import tables
from billing.store.store import IdGenerator, open_store

WRITTEN = {
    table: table.select()
    for table in (
        tables.payments,
        tables.payment_attempts,
        tables.dunning_cases,
        tables.applications,
        tables.journal_entries,
        tables.journal_lines,
    )
}
"""What the run wrote: messages of the acts that prepared the base are not of it."""
WRITTEN[tables.outbox] = tables.outbox.select().where(
    tables.outbox.c.topic.startswith("payment.") | tables.outbox.c.topic.startswith("dunning.")
)
PAID = select(tables.invoices.c.invoice_id, tables.invoices.c.state, tables.invoices.c.paid_on).where(
    tables.invoices.c.state == "paid"
)
DECLINED = 100_000
"""The share of the charges, in millionths."""
SIZES = {
    "small": ((500,), (500,), 1),
    "full": ((25_000,), (25_000, 100_000), 3),
    "million": ((), (250_000, 1_000_000), 1),
}


class Collected(NamedTuple):
    cost: Cost
    rows: int
    paid: pl.DataFrame


def prepare(url: str, customers: int) -> None:
    """Customers with a subscription, a card, and an invoice that is due."""
    with open_store(url, IdGenerator(1)) as store:
        open_base(store, customers)
        cards = store.frame(select(tables.customers.c.customer_id)).select(
            pl.format("card_{}", "customer_id").alias("method_id"),
            "customer_id",
            pl.lit("card").alias("kind"),
            pl.format("ref_{}", "customer_id").alias("gateway_ref"),
            pl.lit(FIRST).alias("valid_from"),
        )
        store.insert(tables.payment_methods, cards, AT)
        owe(store, "automatic")


def collected(url: str, invoices: int, folder: Path) -> Collected:
    with open_store(url, IdGenerator(1)) as store:
        gateway = SimulatedGateway(1, decline_ppm=DECLINED)
        made = []
        cost = cost_of(lambda: made.append(collect(store, gateway, AT)), store)
        assert made[0].attempts == invoices, made
        assert sum(gateway.captured_minor.values()) == 12_000 * made[0].captured
        return Collected(cost, keep(store, WRITTEN, folder), store.frame(PAID))


def memory_of(url: str, invoices: int, folder: Path) -> float:
    """The most memory of the process in a collection."""
    with open_store(url, IdGenerator(1)) as store:
        gateway = SimulatedGateway(1, decline_ppm=DECLINED, books=folder / "gateway.db")
        forget_peak()
        assert collect(store, gateway, AT).attempts == invoices
        return peak_mb()


def beside_copy(databases: Databases, name: str, sizes: tuple[int, ...], repeats: int) -> list[bool]:
    holds, runs, peaks = [], [], []
    for invoices in sizes:
        ours, bare = [], []
        databases.base(invoices, prepare)
        for _ in range(repeats):
            with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
                ours.append(collected(databases.fresh(), invoices, Path(folder)))
                paid = ours[-1].paid
                bare.append(written_bare(databases.fresh(), WRITTEN, Path(folder), tables.invoices, paid))
        with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
            peaks.append(alone(memory_of, databases.fresh(), invoices, Path(folder)))
        runs.append(median([one.cost for one in ours]))
        others = (
            f" | {ours[-1].rows:,} rows, {invoices / runs[-1].all_cpu:,.0f} invoices a CPU second, "
            f"{peaks[-1]:,.0f} MB"
        )
        holds.append(report(f"collect {invoices:,} invoices on {name}", runs[-1], median(bare), 3.0, others))
    for place in range(1, len(sizes)):
        few, many = sizes[place - 1], sizes[place]
        claim = f"collect {many:,} invoices beside {few:,} on {name}"
        holds.append(report(claim, runs[place], runs[place - 1], 1.1 * many / few))
        grown = peaks[place] / peaks[place - 1]
        holds.append(grown <= UNCHANGED)
        verdict = "ok" if holds[-1] else "short"
        print(
            f"memory for {many:,} invoices beside {few:,} on {name}: {grown:.2f} times | limit {UNCHANGED} | "
            f"{verdict}"
        )
    return holds


def main() -> None:
    on_sqlite, on_postgresql, repeats = SIZES[os.environ.get("SIZE", "full")]
    with postgres() as server:
        holds = beside_copy(OfServer(server), "PostgreSQL", on_postgresql, repeats)
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        holds += beside_copy(OfFolder(Path(folder)), "SQLite", on_sqlite, repeats)
    sys.exit(0 if all(holds) or os.environ.get("SIZE") == "small" else 1)


if __name__ == "__main__":
    main()
