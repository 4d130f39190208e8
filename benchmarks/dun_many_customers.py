"""Asking many customers for overdue money: part of `make bench-billing`.

Claims, on SQLite and on PostgreSQL, each with both sides in one run:
- many customers who owe cost at most 1.1 times as much each as few, but for the depth of the database's
  trees (n log n), in the same memory, on the day all get their first reminder and on the day all are
  suspended;
- a day on which nobody is due a step costs at most half of the day of the first reminder;
- customers who owe nothing cost nothing: a run among as many of them asks the same few statements.

Every customer has a subscription and one invoice that fell due on the same day. CPU seconds are those of this
process and of its PostgreSQL backend; wall seconds stand beside them. Each size runs in a process of its own.
SIZE=small checks that the benchmark works, not its figures; SIZE=middle takes 10,000 and 50,000 customers,
SIZE=full 30,000 and 120,000 (several chunks of 10,000 each), SIZE=million 500,000 and 1,000,000: both too
many for the processor's caches, which 100,000 half fit.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from base import AT, open_base, owe
from clock import UNCHANGED, Cost, alone, cost_of, forget_peak, peak_mb, report
from servers import create_database, drop_database, postgres

from billing.jobs.dun import dun
from billing.store.store import IdGenerator, open_store

SIZES = {
    "small": (300, 1_500),
    "middle": (10_000, 50_000),
    "full": (30_000, 120_000),
    "million": (500_000, 1_000_000),
}
QUIET = 0.5
REMINDED, QUIET_DAY, SUSPENDED = 3, 4, 30


class Days(NamedTuple):
    """What each day cost, the most memory held in the run, and statements of a run before anybody owed."""

    reminded: Cost
    quiet: Cost
    suspended: Cost
    peak: float
    statements: int


def dunned(url: str, customers: int) -> Days:
    with open_store(url, IdGenerator(1)) as store:
        open_base(store, customers)
        before = store.statements
        assert dun(store, AT).customers == 0
        statements = store.statements - before
        owe(store, "terms")
        forget_peak()

        def on_day(day: int, kind: str | None) -> Cost:
            def work() -> None:
                made = dun(store, AT + timedelta(days=day))
                assert made.steps.get(kind or "", 0) == (customers if kind else 0), made

            return cost_of(work, store)

        costs = [
            on_day(REMINDED, "reminder_1"),
            on_day(QUIET_DAY, None),
            on_day(SUSPENDED, "final_notice"),
        ]
        return Days(*costs, peak_mb(), statements)


def measured(name: str, fresh: Callable[[], str], sizes: tuple[int, int]) -> list[bool]:
    few, many = sizes
    less, more = alone(dunned, fresh(), few), alone(dunned, fresh(), many)
    limit = 1.1 * many * math.log(many) / (few * math.log(few))
    holds = [
        report(f"remind {many:,} customers beside {few:,} on {name}", more.reminded, less.reminded, limit),
        report(f"suspend {many:,} customers beside {few:,} on {name}", more.suspended, less.suspended, limit),
        report(f"a day without steps beside one with, {many:,} on {name}", more.quiet, more.reminded, QUIET),
        more.peak / less.peak <= UNCHANGED,
        more.statements == less.statements,
    ]
    print(
        f"memory for {many:,} customers on {name}: {more.peak:,.0f} MB | beside {less.peak:,.0f} MB | "
        f"ratio {more.peak / less.peak:.2f} | limit {UNCHANGED} | {'ok' if holds[3] else 'short'}"
    )
    print(
        f"statements among {many:,} who owe nothing on {name}: {more.statements} | beside "
        f"{less.statements} | {'ok' if holds[4] else 'short'}",
        flush=True,
    )
    return holds


def main() -> None:
    size = os.environ.get("SIZE", "full")
    holds = []
    with postgres() as server:

        def database() -> str:
            drop_database(server, "bench")
            return create_database(server, "bench")

        holds += measured("PostgreSQL", database, SIZES[size])
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:

        def file() -> str:
            for one in Path(folder).glob("bench.db*"):
                one.unlink()
            return f"sqlite:///{Path(folder) / 'bench.db'}"

        holds += measured("SQLite", file, SIZES[size])
    sys.exit(0 if all(holds) or size == "small" else 1)


if __name__ == "__main__":
    main()
