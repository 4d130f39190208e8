"""Payments of one invoice at the same moment, from two connections (PostgreSQL; SQLite has one writer)."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select, text

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.jobs.match_transfers import import_transfers
from billing.service.periods import lock_period
from billing.service.transfers import receive_transfer
from billing.store.store import Store
from billing.store.tables import applications, dunning_cases, invoices, payments

Two = tuple[Store, Store, Callable[..., str]]
WAITING = select(text("pid")).select_from(
    text("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
)


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2025, 1, day, hour, tzinfo=UTC)


def until_waiting(store: Store, work: Future[Any]) -> None:
    """Returns when the work waits for a lock, or is done."""
    while not (work.done() or store.rows(WAITING)):
        time.sleep(0.01)


def applied(store: Store) -> dict[str, int]:
    """What was applied to invoices, all sources together."""
    sums: dict[str, int] = {}
    for row in store.rows(select(applications)):
        sums[row["invoice_id"]] = sums.get(row["invoice_id"], 0) + row["amount_minor"]
    return sums


def test_a_second_transfer_waits_for_the_first_and_cannot_pay_what_it_paid(two: Two) -> None:
    one, other, make = two
    paper = make("anna", date(2025, 1, 1))
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            receive_transfer(one, at(1), invoice_id=paper, amount_minor=10_000)
            second = pool.submit(receive_transfer, other, at(1), invoice_id=paper, amount_minor=5000)
            until_waiting(one, second)
        with pytest.raises(BillingError, match="amount_out_of_range"):
            second.result()
    assert applied(one) == {paper: 10_000}
    receive_transfer(other, at(1), invoice_id=paper, amount_minor=2000)
    assert one.rows(select(invoices.c.state)) == [{"state": "paid"}]


def test_a_transfer_is_refused_while_a_card_is_charged_for_its_invoice(two: Two) -> None:
    one, other, make = two
    paper, cards = make("anna", date(2025, 1, 1)), SimulatedGateway()
    refused = []

    class WithTransfer(SimulatedGateway):
        def charge(self, charge: Charge) -> Answer:
            with pytest.raises(BillingError, match="illegal_transition") as error:
                receive_transfer(other, at(1), invoice_id=paper, amount_minor=12_000)
            refused.append(error.value.code)
            return cards.charge(charge)

    assert collect(one, WithTransfer(), at(1, 10)).captured == 1
    assert refused == ["illegal_transition"]
    assert applied(one) == {paper: 12_000}


def test_no_card_is_charged_while_a_transfer_pays_its_invoice(two: Two) -> None:
    one, other, make = two
    paper, gateway = make("anna", date(2025, 1, 1)), SimulatedGateway()
    gateway.plan("anna", "do_not_honor")
    collect(one, gateway, at(1))
    retry = one.rows(select(payments.c.next_attempt_at))[0]["next_attempt_at"]
    gateway.plan("anna", "captured")
    with other.transaction():
        receive_transfer(other, at(2), invoice_id=paper, amount_minor=12_000)
        assert collect(one, gateway, retry).attempts == 0
    assert collect(one, gateway, retry).attempts == 0
    assert applied(one) == {paper: 12_000}
    assert gateway.captured_minor == {}


def test_a_case_that_recovers_waits_for_a_transfer_and_does_not_charge_what_it_paid(
    two: Two,
) -> None:
    one, other, make = two
    gateway = SimulatedGateway()
    papers = [make("anna", date(2025, 1, 1)) for _ in range(2)]
    gateway.plan("anna", "do_not_honor")
    collect(one, gateway, at(1))
    retry = one.rows(select(payments.c.next_attempt_at))[0]["next_attempt_at"]
    gateway.plan("anna", "captured")
    with ThreadPoolExecutor() as pool:
        with other.transaction():
            receive_transfer(other, at(2), invoice_id=papers[1], amount_minor=12_000)
            work = pool.submit(collect, one, gateway, retry)
            until_waiting(other, work)
        assert (work.result().captured, work.result().cases_recovered) == (1, 1)
    assert applied(one) == dict.fromkeys(papers, 12_000)
    assert list(gateway.captured_minor.values()) == [12_000]
    assert one.rows(select(dunning_cases.c.closed_as)) == [{"closed_as": "recovered"}]


def test_a_transfer_that_can_only_mean_an_invoice_means_none_once_another_paid_it(two: Two) -> None:
    one, other, make = two
    paper = make("anna", date(2025, 1, 1))
    row = {"entity_id": "seller", "bank_ref": "1", "received_on": "2025-01-01", "currency": "EUR"}
    statement = pl.DataFrame([row | {"amount": "120.00"}])
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            receive_transfer(one, at(1), invoice_id=paper, amount_minor=12_000)
            work = pool.submit(import_transfers, other, at(1), statement)
            until_waiting(one, work)
        assert (work.result().accepted, work.result().matched) == (1, 0)
    assert applied(one) == {paper: 12_000}


def test_a_month_is_closed_when_what_is_being_posted_into_it_is_there(two: Two) -> None:
    one, other, make = two
    papers = [make("anna", date(2025, 1, 1)) for _ in range(2)]
    february = datetime(2025, 2, 1, 8, tzinfo=UTC)
    with ThreadPoolExecutor() as pool:
        with one.transaction():
            receive_transfer(one, at(1), invoice_id=papers[0], amount_minor=12_000)
            work = pool.submit(lock_period, other, february, entity_id="seller", month=date(2025, 1, 1))
            until_waiting(one, work)
            assert not work.done()
        work.result()
    with pytest.raises(BillingError, match="period_locked"):
        receive_transfer(one, at(1), invoice_id=papers[1], amount_minor=12_000)
