"""What the gateway tells unasked: late, twice, in any order, beside a run. And what it pays out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Table, select

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import CollectSummary, collect
from billing.service.chargebacks import close_chargeback, open_chargeback
from billing.service.notices import hear, notice
from billing.service.payouts import receive_payout
from billing.service.refunds import refund
from billing.service.transfers import receive_transfer
from billing.store.store import Store
from billing.store.tables import (
    accounting_periods,
    applications,
    disputes,
    dunning_cases,
    invoices,
    journal_lines,
    payment_attempts,
    payments,
    payouts,
    rejected_inputs,
    subscriptions,
)

Make = Callable[..., str]


def at(day: int, hour: int = 9) -> datetime:
    return datetime(2025, 1, 1, hour, tzinfo=UTC) + timedelta(days=day - 1)


def rows(store: Store, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    order = [column.name for column in table.primary_key]
    found = store.rows(select(table).order_by(*(table.c[name] for name in order)))
    return [tuple(row[name] for name in columns) for row in found]


def accounts(store: Store) -> dict[str, int]:
    """Balance by account, debit less credit, those of 0 left out; each entry balances."""
    totals: dict[str, int] = {}
    entries: dict[str, int] = {}
    names = ("entry_id", "account", "debit_minor", "credit_minor")
    for entry_id, account, debit, credit in rows(store, journal_lines, *names):
        totals[account] = totals.get(account, 0) + debit - credit
        entries[entry_id] = entries.get(entry_id, 0) + debit - credit
    assert not any(entries.values())
    return {account: total for account, total in totals.items() if total}


def key_of(store: Store, attempt: int = 1) -> str:
    return f"{rows(store, payments, 'payment_id')[0][0]}/{attempt}"


@pytest.fixture
def waiting(company: Store, customer: Make, invoice: Make) -> Store:
    """A company whose one charge, of 120.00, takes days to be known."""
    invoice(customer("anna"), date(2025, 1, 1))
    gateway = SimulatedGateway()
    gateway.plan("anna", "captured", delay_days=5)
    assert collect(company, gateway, at(1)).unknown == 1
    return company


def test_an_answer_that_comes_late_pays_the_invoice_and_told_again_changes_nothing(waiting: Store) -> None:
    answer = Answer("captured", None, "ref", 30)
    for _ in range(3):
        notice(waiting, at(4), key=key_of(waiting), answer=answer)
    assert rows(waiting, payments, "state", "gateway_ref", "fee_minor", "received_on") == [
        ("captured", "ref", 30, date(2025, 1, 4))
    ]
    assert rows(waiting, invoices, "state", "paid_on") == [("paid", date(2025, 1, 4))]
    assert accounts(waiting) == {"gateway_clearing": 12000, "receivable": -12000}
    assert collect(waiting, SimulatedGateway(), at(9)) == CollectSummary()


def test_a_decline_that_comes_late_opens_a_case(waiting: Store) -> None:
    notice(waiting, at(4), key=key_of(waiting), answer=Answer("declined", "insufficient_funds"))
    assert rows(waiting, payments, "state", "failures", "first_failed_on") == [
        ("failed", 1, date(2025, 1, 4))
    ]
    assert rows(waiting, subscriptions, "status") == [("past_due",)]
    assert accounts(waiting) == {}


def test_what_tells_nothing_changes_nothing(waiting: Store) -> None:
    before = rows(waiting, payments, "state", "changed_at"), rows(waiting, payment_attempts, "tries")
    notice(waiting, at(4), key=key_of(waiting), answer=Answer("unknown"))
    assert (
        rows(waiting, payments, "state", "changed_at"),
        rows(waiting, payment_attempts, "tries"),
    ) == before


@pytest.mark.parametrize("key", ["nonsense", "pay_none/1", "{}/0", "{}/2"])
def test_a_key_that_was_never_asked_is_refused(waiting: Store, key: str) -> None:
    key = key.format(rows(waiting, payments, "payment_id")[0][0])
    with pytest.raises(BillingError, match="unknown_payment"):
        notice(waiting, at(4), key=key, answer=Answer("captured"))
    assert rows(waiting, rejected_inputs, "code") == [("unknown_payment",)]
    assert accounts(waiting) == {}


def test_a_notice_into_a_locked_month_is_refused_and_can_be_told_again(waiting: Store) -> None:
    lock = {"entity_id": "seller", "month": date(2025, 1, 1), "locked_at": at(2)}
    waiting.insert(accounting_periods, [lock], at(2))
    with pytest.raises(BillingError, match="period_locked"):
        notice(waiting, at(4), key=key_of(waiting), answer=Answer("captured"))
    assert rows(waiting, payments, "state") == [("pending",)]
    notice(waiting, at(32), key=key_of(waiting), answer=Answer("captured"))
    assert rows(waiting, payments, "state") == [("captured",)]


@pytest.mark.parametrize("order", permutations(("declined 1", "captured 1", "captured 2")))
def test_in_whatever_order_it_is_told_no_money_is_lost_or_counted_twice(
    company: Store, customer: Make, invoice: Make, order: tuple[str, ...]
) -> None:
    """The gateway contradicts itself: it declines attempt 1 and captures 2, then says that 1 was captured
    too. 120.00 pay the invoice and 120.00 are credit, however often and in whatever order it says so."""
    invoice(customer("anna"), date(2025, 1, 1))
    gateway = SimulatedGateway()
    gateway.plan("anna", ("insufficient_funds", "unknown"))
    collect(company, gateway, at(1))
    assert collect(company, gateway, at(3)).unknown == 1
    for told in (*order, *order):
        outcome, attempt = told.split()
        answer = Answer(outcome, "insufficient_funds" if outcome == "declined" else None)  # type: ignore[arg-type]
        notice(company, at(4), key=key_of(company, int(attempt)), answer=answer)
    collect(company, gateway, at(5))
    assert rows(company, payments, "state", "amount_minor") == [("captured", 12000)] * 2
    assert rows(company, applications, "amount_minor") == [(12000,)]
    assert sorted(rows(company, payments, "is_spent")) == [(False,), (True,)]
    assert rows(company, invoices, "state") == [("paid",)]
    assert accounts(company) == {"gateway_clearing": 24000, "customer_credit": -12000, "receivable": -12000}


def test_late_money_of_a_failed_attempt_ends_the_asking(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), date(2025, 1, 1))
    gateway = SimulatedGateway()
    gateway.plan("anna", ("insufficient_funds", "captured"))
    collect(company, gateway, at(1))
    notice(company, at(2), key=key_of(company), answer=Answer("captured"))
    assert rows(company, invoices, "state") == [("paid",)]
    assert collect(company, gateway, at(3)) == CollectSummary()
    assert gateway.captured_minor == {}
    assert rows(company, dunning_cases, "closed_as") == [("recovered",)]
    assert sorted(rows(company, payments, "state")) == [("canceled",), ("captured",)]


class TellsFirst(SimulatedGateway):
    """Its notice of a charge arrives before its answer."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def charge(self, charge: Charge) -> Answer:
        answer = super().charge(charge)
        notice(self.store, at(1), key=charge.key, answer=answer)
        return answer


def test_a_notice_that_overtakes_its_answer_counts_once(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), date(2025, 1, 1))
    assert collect(company, TellsFirst(company), at(1)).captured == 0
    assert accounts(company) == {"gateway_clearing": 12000, "receivable": -12000}
    assert rows(company, payment_attempts, "outcome", "tries") == [("captured", 1)]


# Disputes.


@pytest.fixture
def paid(company: Store, customer: Make, invoice: Make) -> Store:
    """A company that was paid 120.00 by card on 1 January."""
    invoice(customer("anna"), date(2025, 1, 1))
    collect(company, SimulatedGateway(), at(1))
    return company


def test_a_payment_in_dispute_opens_its_invoice_which_is_not_charged_again(paid: Store) -> None:
    (payment_id,) = rows(paid, payments, "payment_id")[0]
    dispute_id = open_chargeback(paid, at(9), payment_id=payment_id)
    assert rows(paid, disputes, "amount_minor", "opened_on", "outcome") == [(12000, date(2025, 1, 9), None)]
    assert rows(paid, payments, "state", "reversed_minor", "is_spent") == [("captured", 12000, True)]
    first, undone = rows(paid, applications, "application_id", "amount_minor", "reverses_id")
    assert (first[1:], undone[1:]) == ((12000, None), (-12000, first[0]))
    assert rows(paid, invoices, "state", "paid_on") == [("open", None)]
    assert accounts(paid) == {}
    gateway = SimulatedGateway()
    assert collect(paid, gateway, at(10)) == CollectSummary()
    close_chargeback(paid, at(40), dispute_id=dispute_id, outcome="lost")
    assert rows(paid, disputes, "closed_on", "outcome") == [(date(2025, 2, 9), "lost")]
    assert collect(paid, gateway, at(41)) == CollectSummary()
    assert gateway.captured_minor == {}
    assert accounts(paid) == {}


def test_a_dispute_that_is_won_pays_the_invoice_again(paid: Store) -> None:
    (payment_id,) = rows(paid, payments, "payment_id")[0]
    dispute_id = open_chargeback(paid, at(9), payment_id=payment_id, amount_minor=5000)
    assert accounts(paid) == {"gateway_clearing": 7000, "receivable": -7000}
    for _ in range(2):
        close_chargeback(paid, at(40), dispute_id=dispute_id, outcome="won")
    assert rows(paid, invoices, "state", "paid_on") == [("paid", date(2025, 2, 9))]
    assert rows(paid, payments, "reversed_minor", "is_spent") == [(0, True)]
    assert [amount for (amount,) in rows(paid, applications, "amount_minor")] == [12000, -12000, 7000, 5000]
    assert accounts(paid) == {"gateway_clearing": 12000, "receivable": -12000}
    with pytest.raises(BillingError, match="illegal_transition"):
        close_chargeback(paid, at(41), dispute_id=dispute_id, outcome="lost")


def test_money_of_a_won_dispute_whose_invoice_was_paid_meanwhile_is_credit(paid: Store) -> None:
    (payment_id,), (paper,) = rows(paid, payments, "payment_id")[0], rows(paid, invoices, "invoice_id")[0]
    dispute_id = open_chargeback(paid, at(9), payment_id=payment_id)
    receive_transfer(paid, at(12), invoice_id=paper, amount_minor=12000)
    close_chargeback(paid, at(40), dispute_id=dispute_id, outcome="won")
    assert rows(paid, payments, "is_spent")[0] == (False,)
    assert accounts(paid) == {
        "bank": 12000,
        "gateway_clearing": 12000,
        "customer_credit": -12000,
        "receivable": -12000,
    }


def test_a_dispute_takes_what_is_credit_before_it_opens_an_invoice(
    company: Store, customer: Make, invoice: Make
) -> None:
    """120.00 were charged of which a note left 70.00 to pay; 50.00 are credit. 60.00 are disputed."""
    paper = invoice(customer("anna"), date(2025, 1, 1))

    class Meanwhile(SimulatedGateway):
        def charge(self, charge: Charge) -> Answer:
            note = {
                "application_id": "a",
                "source_kind": "credit_note",
                "source_id": "n",
                "invoice_id": paper,
            }
            some = {"amount_minor": 5000, "applied_on": date(2025, 1, 1)}
            company.insert(applications, [note | some], at(1))
            return super().charge(charge)

    collect(company, Meanwhile(), at(1))
    (payment_id,) = rows(company, payments, "payment_id")[0]
    open_chargeback(company, at(9), payment_id=payment_id, amount_minor=6000)
    assert accounts(company) == {"gateway_clearing": 6000, "receivable": -6000}
    assert rows(company, payments, "reversed_minor", "is_spent") == [(6000, True)]
    assert rows(company, invoices, "state") == [("open",)]


def dispute_while_charging(company: Store, paper: str, outcomes: list[str]) -> SimulatedGateway:
    """120.00 of 150.00 are paid and the rest is being charged when the bank takes the 120.00 back; the
    gateway that will tell two days later how that charge ended."""
    collect(company, SimulatedGateway(), at(1))
    company.update(invoices, [{"invoice_id": paper, "state": "open", "total_minor": 15000}], at(2))
    rest = {"payment_id": "rest", "customer_id": "anna", "invoice_id": paper, "currency": "EUR"}
    waits = {"amount_minor": 3000, "state": "pending", "next_attempt_at": at(2), "created_on": at(2).date()}
    company.insert(payments, [rest | waits], at(2))
    gateway = SimulatedGateway()
    gateway.plan("anna", outcomes, delay_days=2)
    assert collect(company, gateway, at(2)).unknown == 1
    open_chargeback(company, at(3), payment_id=rows(company, payments, "payment_id")[0][0])
    return gateway


@pytest.mark.parametrize("told", ["by a notice", "when it is asked for"])
def test_a_charge_under_way_when_a_dispute_comes_is_not_repeated_once_it_was_declined(
    company: Store, customer: Make, invoice: Make, told: str
) -> None:
    gateway = dispute_while_charging(
        company, invoice(customer("anna"), date(2025, 1, 1)), ["insufficient_funds", "captured"]
    )
    if told == "by a notice":
        notice(company, at(4), key="rest/1", answer=Answer("declined", "insufficient_funds"))
    for day in range(4, 30):
        gateway.notices(at(day).date(), at(day).date())
        collect(company, gateway, at(day, 12))
    assert rows(company, payments, "state") == [("captured",), ("canceled",)]
    assert gateway.captured_minor == {}
    cases = [("disputed",)] if told == "by a notice" else []
    assert rows(company, dunning_cases, "closed_as") == cases
    assert rows(company, subscriptions, "status") == [("active",)]
    assert rows(company, invoices, "state") == [("open",)]


def test_a_charge_under_way_when_a_dispute_comes_pays_if_it_was_made(
    company: Store, customer: Make, invoice: Make
) -> None:
    gateway = dispute_while_charging(company, invoice(customer("anna"), date(2025, 1, 1)), ["captured"])
    for day in range(4, 9):
        gateway.notices(at(day).date(), at(day).date())
        collect(company, gateway, at(day, 12))
    assert gateway.captured_minor == {"rest/1": 3000}
    assert rows(company, payments, "state", "amount_minor") == [("captured", 12000), ("captured", 3000)]
    assert accounts(company) == {"gateway_clearing": 3000, "receivable": -3000}


def test_a_dispute_ends_the_asking_for_what_is_left(company: Store, customer: Make, invoice: Make) -> None:
    paper = invoice(customer("anna"), date(2025, 1, 1))
    gateway = SimulatedGateway()
    gateway.plan("anna", "captured")
    collect(company, gateway, at(1))
    company.update(invoices, [{"invoice_id": paper, "state": "open", "total_minor": 15000}], at(2))
    rest = {"payment_id": "rest", "customer_id": "anna", "invoice_id": paper, "currency": "EUR"}
    company.insert(
        payments,
        [
            rest
            | {"amount_minor": 3000, "state": "pending", "next_attempt_at": at(2), "created_on": at(2).date()}
        ],
        at(2),
    )
    gateway.plan("anna", "insufficient_funds", from_on=date(2025, 1, 2))
    assert collect(company, gateway, at(2)).cases_opened == 1
    open_chargeback(company, at(3, 8), payment_id=rows(company, payments, "payment_id")[0][0])
    assert rows(company, payments, "state") == [("captured",), ("canceled",)]
    assert rows(company, dunning_cases, "closed_as") == [("disputed",)]
    assert rows(company, subscriptions, "status") == [("active",)]
    assert collect(company, gateway, at(4)) == CollectSummary()


def test_what_no_dispute_can_be_is_refused(paid: Store) -> None:
    (payment_id,) = rows(paid, payments, "payment_id")[0]

    def refused(code: str, **named: Any) -> None:
        with pytest.raises(BillingError, match=code):
            open_chargeback(paid, at(9), **named)

    refused("unknown_payment", payment_id="pay_none")
    refused("negative_quantity", payment_id=payment_id, amount_minor=0)
    refused("amount_out_of_range", payment_id=payment_id, amount_minor=12001)
    paid.update(payments, [{"payment_id": payment_id, "kind": "transfer"}], at(2))
    refused("illegal_transition", payment_id=payment_id)
    paid.update(payments, [{"payment_id": payment_id, "kind": "charge"}], at(2))
    first = open_chargeback(paid, at(9), payment_id=payment_id, amount_minor=100, gateway_ref="d1")
    refused("immutable", payment_id=payment_id, amount_minor=100, gateway_ref="d1")
    refused("amount_out_of_range", payment_id=payment_id, amount_minor=11901)
    with pytest.raises(BillingError, match="over_refund"):
        refund(paid, at(10), payment_id=payment_id, amount_minor=12000)
    for dispute_id, outcome, code in (
        (first, "drawn", "unknown_setting"),
        ("none", "won", "unknown_dispute"),
    ):
        with pytest.raises(BillingError, match=code):
            close_chargeback(paid, at(9), dispute_id=dispute_id, outcome=outcome)
    assert accounts(paid) == {"gateway_clearing": 11900, "receivable": -11900}


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_all_that_a_gateway_tells_of_is_heard_and_heard_twice_is_the_same(
    company: Store, customer: Make, invoice: Make, outcome: Any
) -> None:
    invoice(customer("anna"), date(2025, 1, 1))
    gateway = SimulatedGateway(fee_ppm=10_000)
    gateway.plan("anna", "captured", delay_days=2, disputed_after_days=4, dispute=outcome)
    collect(company, gateway, at(1))
    for _ in range(2):
        for told in gateway.notices(date(2025, 1, 1), date(2025, 3, 31)):
            hear(company, datetime(told.on.year, told.on.month, told.on.day, 9, tzinfo=UTC), told)
    assert rows(company, disputes, "opened_on", "closed_on", "outcome") == [
        (date(2025, 1, 7), date(2025, 2, 6), outcome)
    ]
    balance = {"gateway_clearing": 12000, "receivable": -12000} if outcome == "won" else {}
    assert accounts(company) == balance


def test_an_end_of_a_dispute_that_is_told_before_its_opening_is_refused_to_be_told_again(
    paid: Store,
) -> None:
    gateway = SimulatedGateway()
    (payment_id,) = rows(paid, payments, "payment_id")[0]
    gateway.plan("anna", "captured", disputed_after_days=0)
    gateway.charge(Charge(f"{payment_id}/1", "anna", "card-1", 12000, "EUR", 1, date(2025, 1, 1)))
    _, opened, closed = gateway.notices(date(2025, 1, 1), date(2025, 3, 31))
    with pytest.raises(BillingError, match="unknown_dispute"):
        hear(paid, at(40), closed)
    for told in (opened, closed):
        hear(paid, at(40), told)
    assert rows(paid, disputes, "outcome") == [("lost",)]


# Payouts.


def test_a_payout_leaves_in_clearing_what_the_gateway_still_holds(paid: Store) -> None:
    """Of 120.00 that came in, 58.50 are at the bank and 1.50 were kept; 60.00 are still at the gateway."""
    told = {"entity_id": "seller", "gateway_ref": "po-1", "currency": "EUR", "amount_minor": 5850}
    for _ in range(2):
        receive_payout(paid, at(5), **told, fee_minor=150)  # type: ignore[arg-type]
    assert accounts(paid) == {
        "bank": 5850,
        "payment_fees": 150,
        "gateway_clearing": 6000,
        "receivable": -12000,
    }
    assert rows(paid, payouts, "gateway_ref", "received_on") == [("po-1", date(2025, 1, 5))]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"entity_id": "nobody"}, "unknown_entity"),
        ({"amount_minor": -1}, "negative_quantity"),
        ({"fee_minor": -1}, "negative_quantity"),
        ({"amount_minor": 0}, "negative_quantity"),
        ({"currency": "XXX"}, "unknown_reference"),
        ({"gateway_ref": "known"}, "key_conflict"),
    ],
)
def test_a_payout_that_cannot_be_right_is_refused(paid: Store, change: dict[str, Any], code: str) -> None:
    told = {"entity_id": "seller", "gateway_ref": "new", "currency": "EUR", "amount_minor": 100}
    receive_payout(paid, at(5), **told | {"gateway_ref": "known", "amount_minor": 99})  # type: ignore[arg-type]
    with pytest.raises(BillingError, match=code):
        receive_payout(paid, at(6), **told | change)
    assert len(rows(paid, payouts, "payout_id")) == 1
