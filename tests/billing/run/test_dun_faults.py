"""What a run over overdue money leaves when it is killed, or doubled: the same as if it were alone."""

from __future__ import annotations

from collections import Counter
from datetime import date

import polars as pl
import pytest
from faults import KILLS, kill_until_done, start
from shop import OPENED, Part, at, join, open_shop, sell, take
from sqlalchemy import select

from billing.jobs.dun import dun
from billing.store import tables
from billing.store.store import Store

CUSTOMERS = max(24, KILLS * 4)
DUE, DUNNED_ON = date(2025, 3, 1), date(2025, 5, 1)
DUN = """
import sys
from datetime import UTC, datetime
from billing.jobs.dun import dun
from billing.store.store import open_store
store = open_store(sys.argv[1])
print("ready", flush=True)
dun(store, datetime(2025, 5, 1, 8, tzinfo=UTC), chunk_size=2)
"""
KINDS = ("courtesy", "reminder_1", "reminder_2", "reminder_3", "final_notice", "collection")


@pytest.fixture
def shop(store: Store) -> Store:
    """Customers whose 10.00 has been due for 61 days."""
    with store.transaction():
        open_shop(store)
        sell(store, "plan", [Part("fee", "fee", "10.00")])
        for number in range(CUSTOMERS):
            join(store, f"c{number}", collection="terms")
            take(store, DUE, "plan", f"c{number}", subscription_id=f"s{number}", starts_on=DUE)
        owed = pl.DataFrame({"customer_id": [f"c{number}" for number in range(CUSTOMERS)]})
        store.insert(
            tables.invoices,
            owed.select(
                pl.format("invoice-{}", "customer_id").alias("invoice_id"),
                "customer_id",
                pl.format("number-{}", "customer_id").alias("number"),
                pl.lit("seller").alias("entity_id"),
                pl.lit("EUR").alias("currency"),
                pl.lit("terms").alias("collection"),
                pl.lit("open").alias("state"),
                *(pl.lit(DUE).alias(name) for name in ("issued_on", "due_on")),
                *(pl.lit(1000).alias(name) for name in ("net_minor", "total_minor")),
                pl.lit(0).alias("tax_minor"),
            ),
            OPENED,
        )
    return store


def made(store: Store) -> Counter[tuple[str, str]]:
    """Each step that was made, by customer."""
    asked = select(tables.dunning_cases.c.customer_id, tables.dunning_steps.c.kind).join(
        tables.dunning_cases, tables.dunning_cases.c.case_id == tables.dunning_steps.c.case_id
    )
    return Counter(store.frame(asked).rows())


def told(store: Store) -> Counter[str]:
    """How many messages of each topic there are, of those that a run writes."""
    asked = select(tables.outbox.c.topic).where(tables.outbox.c.recorded_at >= at(DUNNED_ON))
    return Counter(store.frame(asked)["topic"])


WHOLE = {(f"c{number}", kind) for number in range(CUSTOMERS) for kind in KINDS}
TOPICS = (
    "dunning.opened",
    "dunning.final_notice",
    "approval.requested",
    "subscription.paused",
    "customer.overdue_state_changed",
)


def check_all(store: Store) -> None:
    """Whoever has been looked at has every step, message and state that belong to it, once."""
    steps, topics = made(store), told(store)
    assert set(steps.values()) <= {1}
    assert set(steps) <= WHOLE
    done = len(steps) // len(KINDS)
    assert len(steps) == done * len(KINDS)
    assert topics == (Counter(dict.fromkeys(TOPICS, done)) if done else Counter())
    states = Counter(store.frame(select(tables.customers.c.overdue_state))["overdue_state"])
    assert states["suspended"] == done
    assert states["current"] == CUSTOMERS - done
    paused = store.frame(select(tables.item_versions).where(tables.item_versions.c.superseded_at.is_(None)))
    assert (paused["pause"] == "overdue").sum() == done
    statuses = Counter(store.frame(select(tables.subscriptions.c.status))["status"])
    assert statuses["suspended"] == done


def test_a_run_killed_at_any_moment_and_started_again_leaves_no_trace_of_it(
    shop: Store, database_url: str
) -> None:
    if kill_until_done(DUN, database_url, check=lambda: check_all(shop)):
        assert set(made(shop)) == WHOLE
    dun(shop, at(DUNNED_ON), chunk_size=7)
    assert set(made(shop)) == WHOLE
    check_all(shop)
    assert dun(shop, at(DUNNED_ON)).steps == {}


def test_two_runs_at_once_make_what_one_would(shop: Store, database_url: str) -> None:
    children = [start(DUN, database_url) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert set(made(shop)) == WHOLE
    check_all(shop)
