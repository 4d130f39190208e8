"""One seeded history, played on SQLite and on PostgreSQL, leaves equal tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
from sqlalchemy import select

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.import_usage import import_usage
from billing.service.customers import add_payment_method
from billing.service.subscriptions import cancel, change_quantity, pause, reactivate
from billing.store.store import Store
from billing.store.tables import items, metadata

Make = Callable[..., str]
NEW_YEAR = date(2025, 1, 1)


def play(store: Store, customer: Make, invoice: Make) -> None:
    for n in range(6):
        customer(f"c{n}", time_zone=("UTC", "Africa/Cairo", "America/New_York")[n % 3])
    gateway = SimulatedGateway(3, decline_ppm=500_000, fee_ppm=14_000)
    gateway.plan("c1", "unknown")
    gateway.plan("c2", "stolen_card")
    known = store.rows(select(items.c.item_id).order_by(items.c.item_id))
    for n in range(60):
        day = NEW_YEAR + timedelta(days=n)
        at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        if n % 3 == 0:
            invoice(f"c{n // 3 % 6}", day, amount_minor=1000 + n)
        events = [
            {
                "source": "api",
                "event_id": f"{n}-{place}",
                "item_id": row["item_id"],
                "meter_id": "calls" if place else "other",
                "occurred_at": at,
                "value": f"{n}.{place}",
            }
            for place, row in enumerate(known)
        ]
        import_usage(store, at, pl.DataFrame(events))
        if n == 20:
            change_quantity(store, at, subscription_id="sub-c3", quantity=n)
            pause(store, at, subscription_id="sub-c4", until=day + timedelta(days=5))
            cancel(store, at, subscription_id="sub-c5", when="now", reason="switched")
        if n == 40:
            reactivate(store, at, subscription_id="sub-c5")
            add_payment_method(store, at, customer_id="c5", gateway_ref="new")
        collect(store, gateway, at)


def contents(store: Store) -> dict[str, pl.DataFrame]:
    """Every table, sorted by its key."""
    return {
        name: store.frame(table.select()).sort([column.name for column in table.primary_key])
        for name, table in metadata.tables.items()
    }


def test_both_databases_hold_the_same_after_the_same_history(
    worlds: list[tuple[Store, Make, Make]],
) -> None:
    for store, customer, invoice in worlds:
        play(store, customer, invoice)
    on_sqlite, on_postgres = (contents(store) for store, _, _ in worlds)
    assert on_sqlite["payment_attempts"].height > 15
    assert on_sqlite["usage_events"].height == 300
    assert on_sqlite["rejected_inputs"].height == 60
    assert set(on_sqlite["dunning_cases"]["closed_as"]) >= {"recovered", "canceled_for_payment"}
    assert [name for name in metadata.tables if not on_sqlite[name].equals(on_postgres[name])] == []
