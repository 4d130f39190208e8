"""Transfers beside cards: what came by bank is not charged again, and ends the asking."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service.transfers import receive_transfer
from billing.store.store import Store
from billing.store.tables import dunning_cases, invoices, payments, subscriptions

Make = Callable[..., str]


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2025, 1, day, hour, tzinfo=UTC)


def states(store: Store) -> list[tuple[str, int]]:
    rows = store.rows(select(payments).order_by(payments.c.payment_id))
    return [(row["state"], row["amount_minor"]) for row in rows]


def test_a_transfer_of_all_ends_the_dunning_of_its_invoice(
    company: Store, customer: Make, invoice: Make
) -> None:
    customer("anna")
    paper, gateway = invoice("anna", date(2025, 1, 1)), SimulatedGateway()
    gateway.plan("anna", "insufficient_funds")
    assert collect(company, gateway, at(1)).cases_opened == 1
    receive_transfer(company, at(2), invoice_id=paper, amount_minor=12000)
    assert states(company) == [("canceled", 12000), ("captured", 12000)]
    case = company.rows(select(dunning_cases))[0]
    assert (case["closed_as"], case["recovered_minor"]) == ("recovered", 12000)
    assert company.rows(select(subscriptions.c.status)) == [{"status": "active"}]
    gateway.plan("anna", "captured", from_on=date(2025, 1, 2))
    for day in range(2, 30):
        assert collect(company, gateway, at(day)).attempts == 0
    assert company.rows(select(invoices.c.state)) == [{"state": "paid"}]


def test_a_transfer_of_a_part_leaves_the_rest_to_the_card(
    company: Store, customer: Make, invoice: Make
) -> None:
    customer("anna")
    paper, gateway = invoice("anna", date(2025, 1, 1)), SimulatedGateway()
    gateway.plan("anna", ["insufficient_funds", "captured"])
    collect(company, gateway, at(1))
    receive_transfer(company, at(2), invoice_id=paper, amount_minor=5000)
    made = collect(company, gateway, at(3))
    assert (made.captured_minor, made.cases_recovered) == ({"EUR": 7000}, 1)
    assert states(company) == [("captured", 7000), ("captured", 5000)]
    assert company.rows(select(invoices.c.state)) == [{"state": "paid"}]


def test_no_transfer_is_taken_while_it_is_unknown_what_a_charge_did(
    company: Store, customer: Make, invoice: Make
) -> None:
    customer("anna")
    paper, gateway = invoice("anna", date(2025, 1, 1)), SimulatedGateway()
    gateway.plan("anna", "unknown")
    collect(company, gateway, at(1))
    with pytest.raises(BillingError, match="illegal_transition"):
        receive_transfer(company, at(1, 10), invoice_id=paper, amount_minor=12000)
    assert states(company) == [("pending", 12000)]
