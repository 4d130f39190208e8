"""Credit asked back while a run is about to spend it (PostgreSQL; SQLite has one writer)."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from shop import at, fee, join, open_shop, run, sell, take
from sqlalchemy import select, text

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service import customers, refunds, subscriptions
from billing.store import tables
from billing.store.store import open_store

START, ENDED, LATER = date(2025, 1, 1), date(2025, 1, 11), date(2025, 1, 20)
WAITING = select(text("pid")).select_from(
    text("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
)


def test_credit_asked_back_by_hand_does_not_pay_an_invoice_of_a_member(
    request: pytest.FixtureRequest,
) -> None:
    """31.00 were paid for January and 21.00 of it are credit of the parent, who pays for its member too."""
    fresh: Callable[[], str] = request.getfixturevalue("_postgres_databases")
    url = fresh()
    with open_store(url) as one, open_store(url) as other:
        open_shop(one, tax_rate_ppm=0)
        sell(one, "basic", fee("31"))
        join(one, "parent")
        join(one, "member", parent_id="parent", bill_to_id="parent")
        customers.add_payment_method(one, at(START, 1), customer_id="parent", gateway_ref="card")
        sub = take(one, START, "basic", "member")
        run(one, START)
        collect(one, SimulatedGateway(), at(START, 22))
        subscriptions.cancel(one, at(ENDED), subscription_id=sub, when="now", money="credit")
        run(one, ENDED)
        take(one, LATER, "basic", "member")
        payment_id = one.rows(select(tables.payments))[0]["payment_id"]
        with ThreadPoolExecutor() as pool:
            with other.transaction():
                refunds.refund(other, at(LATER), payment_id=payment_id, amount_minor=2100)
                billed = pool.submit(run, one, LATER)
                while not (billed.done() or other.rows(WAITING)):
                    time.sleep(0.01)
            assert billed.result().invoices == 1
        assert one.rows(select(tables.credit_notes.c.total_minor)) == [{"total_minor": 2100}]
        assert one.rows(select(tables.refunds.c.amount_minor)) == [{"amount_minor": 2100}]
        spent = one.frame(select(tables.applications)).filter(source_kind="credit_note")
        assert spent.is_empty()
