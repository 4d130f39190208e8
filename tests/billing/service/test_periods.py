"""Months of the books: closed when they are over, and nothing is posted into one that is closed."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest
from sqlalchemy import select

from billing.core.money import BillingError
from billing.jobs.journal import post_events
from billing.service.catalog import create_legal_entity
from billing.service.periods import lock_period, unlock_period
from billing.store.store import Store
from billing.store.tables import accounting_periods, journal_entries, outbox

JANUARY, AT = date(2025, 1, 31), datetime(2025, 2, 1, 8, tzinfo=UTC)


def post(store: Store, source_id: str) -> None:
    event = {
        "event": "transfer_received",
        "source_kind": "bank_transfer",
        "source_id": source_id,
        "entity_id": "seller",
        "posted_on": JANUARY,
        "customer_id": "anna",
        "invoice_id": "none",
        "currency": "EUR",
        "net_minor": 1,
    }
    post_events(store, AT, pl.DataFrame([event]))


def test_nothing_is_posted_into_a_month_until_it_is_opened_again(store: Store) -> None:
    create_legal_entity(store, AT, entity_id="seller", name="Seller", country="DE")
    for _ in range(2):
        lock_period(store, AT, entity_id="seller", month=JANUARY)
    with pytest.raises(BillingError, match="period_locked"):
        post(store, "1")
    unlock_period(store, AT, entity_id="seller", month=JANUARY)
    post(store, "1")
    lock_period(store, AT, entity_id="seller", month=JANUARY)
    periods = store.rows(select(accounting_periods.c.month, accounting_periods.c.locked_at))
    assert periods == [{"month": date(2025, 1, 1), "locked_at": AT}]
    topics = [row["topic"] for row in store.rows(select(outbox.c.topic).order_by(outbox.c.message_id))]
    assert [topic for topic in topics if topic.startswith("period")] == [
        "period.locked",
        "period.unlocked",
        "period.locked",
    ]
    assert len(store.rows(select(journal_entries))) == 1


def test_a_month_that_is_not_over_is_not_closed_nor_one_of_a_seller_that_is_not_there(store: Store) -> None:
    create_legal_entity(store, AT, entity_id="seller", name="Seller", country="DE")
    with pytest.raises(BillingError, match="illegal_transition"):
        lock_period(store, AT, entity_id="seller", month=date(2025, 2, 1))
    for act in (lock_period, unlock_period):
        with pytest.raises(BillingError, match="unknown_entity"):
            act(store, AT, entity_id="nobody", month=JANUARY)
