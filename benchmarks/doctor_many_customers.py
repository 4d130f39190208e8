"""The doctor over many customers: `make bench-billing`.

Claims, on SQLite and on PostgreSQL, over customers with a subscription that was billed:
- the doctor finds nothing;
- ten times the customers cost at most eleven times as much;
- an examination takes at most 256 MB of memory of this process, however many they are.

Costs are CPU seconds of this process and of its PostgreSQL backend; wall seconds stand beside them.
SIZE=small checks that the benchmark works, not its figures; SIZE=full is the default; SIZE=million takes
100,000 and a million customers.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from base import AT, FIRST
from bill_run_beside_copy import prepare
from clock import Cost, cost_of, forget_peak, peak_mb, report
from copies import Databases, OfFolder, OfServer
from servers import postgres

from billing.jobs.bill_run import bill
from billing.jobs.doctor.examination import CHECKS, examine
from billing.store.store import IdGenerator, open_store

SIZES = {"small": (200, 500), "full": (10_000, 100_000), "million": (100_000, 1_000_000)}

MOST_MB = 256
"""What an examination may take, whatever the number of customers."""


def examined(databases: Databases, customers: int) -> tuple[Cost, float]:
    """The cost of one examination of customers billed once, and the memory it took beyond what was held."""
    databases.base(customers, prepare)
    with open_store(databases.fresh(), IdGenerator(1)) as store:
        bill(store, AT, up_to=FIRST)
        if not store.is_sqlite:
            store.analyze()
        found: list[object] = []
        forget_peak()
        begun = peak_mb()
        cost = cost_of(lambda: found.extend(examine(store, AT)), store)
        assert not found, f"the doctor finds {len(found)}, first {found[0]}"
        return cost, peak_mb() - begun


def grows_with_customers(databases: Databases, name: str, few: int, many: int) -> list[bool]:
    small, small_mb = examined(databases, few)
    large, large_mb = examined(databases, many)
    rate = many / large.all_cpu
    others = f" | {len(CHECKS)} checks, {rate:,.0f} customers a CPU second"
    claim = f"examine {many:,} customers beside {few:,} on {name}"
    holds = report(claim, large, small, 1.1 * many / few, others)
    print(
        f"memory taken for {many:,} customers on {name}: {large_mb:,.0f} MB "
        f"(for {few:,}: {small_mb:,.0f} MB) | limit {MOST_MB} MB",
        flush=True,
    )
    return [holds, large_mb <= MOST_MB]


def main() -> None:
    few, many = SIZES[os.environ.get("SIZE", "full")]
    holds = []
    with tempfile.TemporaryDirectory(prefix="tajdid-bench-") as folder:
        holds += grows_with_customers(OfFolder(Path(folder)), "SQLite", few, many)
    with postgres() as server:
        holds += grows_with_customers(OfServer(server), "PostgreSQL", few, many)
    sys.exit(0 if all(holds) or os.environ.get("SIZE") == "small" else 1)


if __name__ == "__main__":
    main()
