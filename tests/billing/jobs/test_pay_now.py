"""An invoice that its payer wants charged now: once, beside whoever collects, and without harm to the
schedule of retries where it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import charge_now, collect
from billing.jobs.doctor.examination import examine
from billing.service.customers import add_payment_method
from billing.service.payment_methods import pay_now, request_payment
from billing.service.periods import lock_period
from billing.service.transfers import receive_transfer, unmatch_transfer
from billing.store.store import Store
from billing.store.tables import (
    applications,
    bank_transfers,
    dunning_cases,
    invoices,
    payment_attempts,
    payments,
)

NEW_YEAR = date(2025, 1, 1)
Make = Callable[..., str]


@pytest.fixture
def store(sqlite_store: Store) -> Store:
    """On SQLite alone; what two do at once is tried on both databases."""
    return sqlite_store


def at(day: int, hour: int = 9, month: int = 1) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


def payment_of(store: Store) -> dict[str, Any]:
    (row,) = store.rows(select(payments).where(payments.c.kind == "charge"))
    return row


def state_of(store: Store, invoice_id: str) -> str:
    row = store.row(select(invoices.c.state).where(invoices.c.invoice_id == invoice_id))
    assert row is not None
    return str(row["state"])


def applied(store: Store) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in store.rows(select(applications)):
        sums[row["invoice_id"]] = sums.get(row["invoice_id"], 0) + row["amount_minor"]
    return sums


def test_an_invoice_is_charged_when_its_payer_says_so(company: Store, customer: Make, invoice: Make) -> None:
    gateway, paper = SimulatedGateway(), invoice(customer("anna"), date(2025, 1, 20))
    payment_id = pay_now(company, gateway, at(5), invoice_id=paper)
    row = payment_of(company)
    assert (row["payment_id"], row["state"], row["amount_minor"], row["received_on"]) == (
        payment_id,
        "captured",
        12_000,
        date(2025, 1, 5),
    )
    assert gateway.captured_minor == {f"{payment_id}/1": 12_000}
    assert (state_of(company, paper), applied(company)) == ("paid", {paper: 12_000})
    assert collect(company, gateway, at(20)).attempts == 0
    with pytest.raises(BillingError, match="illegal_transition"):
        pay_now(company, gateway, at(21), invoice_id=paper)


def test_a_method_can_be_named(company: Store, customer: Make, invoice: Make) -> None:
    paper = invoice(customer("anna"), NEW_YEAR)
    customer("bert", card="card-2")
    other = add_payment_method(
        company, at(1), customer_id="anna", gateway_ref="debit-1", kind="direct_debit", is_default=False
    )
    foreign = add_payment_method(company, at(1), customer_id="bert", gateway_ref="x", is_default=False)
    old = add_payment_method(
        company, at(1), customer_id="anna", gateway_ref="y", expires_on=date(2024, 1, 1), is_default=False
    )
    gateway = SimulatedGateway()
    gateway.plan("anna", "do_not_honor", method_ref="card-1")
    for wrong, code in ((foreign, "unknown_method"), ("none", "unknown_method"), (old, "no_payment_method")):
        with pytest.raises(BillingError, match=code):
            pay_now(company, gateway, at(2), invoice_id=paper, method_id=wrong)
    pay_now(company, gateway, at(2), invoice_id=paper, method_id=other)
    assert (payment_of(company)["method_id"], state_of(company, paper)) == (other, "paid")


def test_what_cannot_be_charged_is_refused(company: Store, customer: Make, invoice: Make) -> None:
    gateway = SimulatedGateway()
    without = invoice(customer("anna", card=None), NEW_YEAR)
    with pytest.raises(BillingError, match="no_payment_method"):
        pay_now(company, gateway, at(2), invoice_id=without)
    with pytest.raises(BillingError, match="unknown_invoice"):
        pay_now(company, gateway, at(2), invoice_id="none")
    closed = invoice(customer("bert"), NEW_YEAR)
    lock_period(company, at(2, month=2), entity_id="seller", month=NEW_YEAR)
    with pytest.raises(BillingError, match="period_locked"):
        pay_now(company, gateway, at(2), invoice_id=closed)
    company.update(invoices, [{"invoice_id": closed, "state": "void"}], at(2))
    with pytest.raises(BillingError, match="illegal_transition"):
        pay_now(company, gateway, at(2, month=2), invoice_id=closed)
    assert company.rows(select(payments)) == []


def test_a_failure_before_the_day_opens_no_case_and_the_day_comes_as_it_would(
    company: Store, customer: Make, invoice: Make
) -> None:
    gateway, paper = SimulatedGateway(), invoice(customer("anna"), date(2025, 1, 20))
    gateway.plan("anna", "do_not_honor")
    pay_now(company, gateway, at(5), invoice_id=paper)
    row = payment_of(company)
    assert (row["state"], row["failures"], row["case_id"]) == ("failed", 0, None)
    assert row["next_attempt_at"] == at(20, 0)
    assert [one.key for one in examine(company, at(5)) if one.check == "case_of_payment"] == []
    assert company.rows(select(dunning_cases)) == []
    assert collect(company, gateway, at(19)).attempts == 0
    assert collect(company, gateway, at(20)).cases_opened == 1
    assert (payment_of(company)["attempt"], payment_of(company)["failures"]) == (2, 1)


def test_a_failure_amid_dunning_uses_up_no_retry(company: Store, customer: Make, invoice: Make) -> None:
    gateway, paper = SimulatedGateway(), invoice(customer("anna"), NEW_YEAR)
    gateway.plan("anna", "do_not_honor")
    collect(company, gateway, at(1))
    before = payment_of(company)
    for hour in range(10, 18):
        pay_now(company, gateway, at(1, hour), invoice_id=paper)
    after = payment_of(company)
    kept = ("state", "failures", "first_failed_on", "case_id", "next_attempt_at")
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert after["attempt"] == 9
    gateway.plan("anna", "captured")
    pay_now(company, gateway, at(2), invoice_id=paper)
    assert state_of(company, paper) == "paid"
    assert company.rows(select(dunning_cases.c.closed_as)) == [{"closed_as": "recovered"}]


def test_a_failure_after_its_case_ended_begins_another(company: Store, customer: Make, invoice: Make) -> None:
    customer("anna")
    papers = [invoice("anna", NEW_YEAR) for _ in range(2)]
    gateway = SimulatedGateway()
    gateway.plan("anna", "do_not_honor")
    collect(company, gateway, at(1))
    payment_id = request_payment(company, at(2), invoice_id=papers[0])
    gateway.plan("anna", "captured")
    pay_now(company, gateway, at(2), invoice_id=papers[1])
    assert company.rows(select(dunning_cases.c.closed_as)) == [{"closed_as": "recovered"}]
    gateway.plan("anna", "do_not_honor")
    charge_now(company, gateway, at(2), payment_id)
    opened = company.rows(select(dunning_cases).where(dunning_cases.c.closed_on.is_(None)))
    (row,) = company.rows(select(payments).where(payments.c.payment_id == payment_id))
    assert (row["state"], row["failures"], row["case_id"]) == ("failed", 1, opened[0]["case_id"])
    assert [one.key for one in examine(company, at(2)) if one.check == "case_of_payment"] == []


def test_a_failure_on_net_terms_charges_nothing_later(company: Store, customer: Make, invoice: Make) -> None:
    gateway = SimulatedGateway()
    paper = invoice(customer("anna"), NEW_YEAR, collection="terms")
    gateway.plan("anna", "do_not_honor")
    pay_now(company, gateway, at(5), invoice_id=paper)
    assert (payment_of(company)["state"], payment_of(company)["next_attempt_at"]) == ("canceled", None)
    gateway.plan("anna", "captured")
    receive_transfer(company, at(6), invoice_id=paper, amount_minor=12_000)
    (transfer,) = company.rows(select(bank_transfers.c.transfer_id))
    unmatch_transfer(company, at(7), transfer_id=transfer["transfer_id"])
    add_payment_method(company, at(7), customer_id="anna", gateway_ref="card-2")
    assert collect(company, gateway, at(8)).attempts == 0
    assert company.rows(select(dunning_cases)) == []
    pay_now(company, gateway, at(9), invoice_id=paper)
    assert state_of(company, paper) == "paid"
    assert list(gateway.captured_minor.values()) == [12_000]


def test_an_answer_that_was_lost_is_asked_for_and_a_second_click_charges_nothing(
    company: Store, customer: Make, invoice: Make
) -> None:
    gateway, paper = SimulatedGateway(), invoice(customer("anna"), NEW_YEAR)
    gateway.plan("anna", "unknown")
    first = pay_now(company, gateway, at(2), invoice_id=paper)
    assert payment_of(company)["state"] == "pending"
    for hour in (9, 11):
        assert pay_now(company, gateway, at(2, hour), invoice_id=paper) == first
    assert (payment_of(company)["state"], gateway.captured_minor) == ("captured", {f"{first}/1": 12_000})


def test_what_nobody_asked_the_gateway_yet_the_next_collect_asks(
    company: Store, customer: Make, invoice: Make
) -> None:
    gateway, paper = SimulatedGateway(), invoice(customer("anna"), date(2025, 1, 20))
    payment_id = request_payment(company, at(2), invoice_id=paper)
    assert request_payment(company, at(2), invoice_id=paper) == payment_id
    assert collect(company, gateway, at(3)).captured == 1
    assert gateway.captured_minor == {f"{payment_id}/1": 12_000}


# Two at once.


Pair = tuple[Store, Store, Make, Make]


def click(store: Store, gateway: SimulatedGateway, paper: str) -> str:
    """The payment's id, or the code of the refusal."""
    try:
        return pay_now(store, gateway, at(2), invoice_id=paper)
    except BillingError as error:
        return error.code


def test_a_double_click_pays_once(pair: Pair) -> None:
    one, other, customer, invoice = pair
    papers = [invoice(customer(f"c{n}"), NEW_YEAR) for n in range(6)]
    gateway, gate = SimulatedGateway(), threading.Barrier(2)

    def clicks(store: Store) -> list[str]:
        found = []
        for paper in papers:
            gate.wait(10)
            found.append(click(store, gateway, paper))
        return found

    with ThreadPoolExecutor(2) as pool:
        clicked = [pool.submit(clicks, store) for store in (one, other)]
        answers = {answer for work in clicked for answer in work.result()}
    ids = answers - {"illegal_transition"}  # The other one has paid already.
    assert len(ids) == 6
    assert gateway.captured_minor == {f"{payment_id}/1": 12_000 for payment_id in ids}
    assert applied(one) == dict.fromkeys(papers, 12_000)


def test_a_click_while_collect_charges_is_the_same_charge(pair: Pair) -> None:
    one, other, customer, invoice = pair
    paper, cards = invoice(customer("anna"), NEW_YEAR), SimulatedGateway()
    clicked: list[str] = []

    class Clicking(SimulatedGateway):
        def charge(self, charge: Charge) -> Answer:
            clicked.append(pay_now(other, cards, at(2, 10), invoice_id=paper))
            return cards.charge(charge)

    collect(one, Clicking(), at(2, 10))
    assert clicked == [payment_of(one)["payment_id"]]
    assert cards.captured_minor == {f"{clicked[0]}/1": 12_000}
    assert (state_of(one, paper), applied(one)) == ("paid", {paper: 12_000})


def test_collect_while_a_click_charges_is_the_same_charge(pair: Pair) -> None:
    one, other, customer, invoice = pair
    paper, cards = invoice(customer("anna"), NEW_YEAR), SimulatedGateway()
    counts = []

    class Collecting(SimulatedGateway):
        def charge(self, charge: Charge) -> Answer:
            counts.append(collect(other, cards, at(2, 11)).captured)
            return cards.charge(charge)

    payment_id = pay_now(one, Collecting(), at(2, 10), invoice_id=paper)
    assert counts == [1]
    assert cards.captured_minor == {f"{payment_id}/1": 12_000}
    assert len(one.rows(select(payment_attempts))) == 1
    assert applied(one) == {paper: 12_000}


def test_many_clicks_beside_a_collect_that_runs(pair: Pair) -> None:
    one, other, customer, invoice = pair
    papers = [invoice(customer(f"c{n:02}"), NEW_YEAR) for n in range(12)]
    gateway, gate = SimulatedGateway(), threading.Barrier(2)

    def clicks() -> set[str]:
        gate.wait(10)
        return {click(other, gateway, paper) for paper in reversed(papers)}

    def run() -> None:
        gate.wait(10)
        collect(one, gateway, at(2), chunk_size=3)

    with ThreadPoolExecutor(2) as pool:
        clicked, ran = pool.submit(clicks), pool.submit(run)
        ran.result()
        ids = clicked.result() - {"illegal_transition"}
    assert all(one_id.startswith("pay_") for one_id in ids)
    assert applied(one) == dict.fromkeys(papers, 12_000)
    assert sorted(gateway.captured_minor.values()) == [12_000] * 12
    charged = one.rows(select(payments.c.invoice_id, payments.c.state))
    assert sorted(row["invoice_id"] for row in charged) == papers
    assert {row["state"] for row in charged} == {"captured"}
