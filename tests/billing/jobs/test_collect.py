"""Collecting money: one attempt a day of the schedule, one charge a key, and books that balance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, select

from billing.core.money import BillingError
from billing.gateways.gateway import Answer, Charge
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import CollectSummary, collect
from billing.service.customers import add_payment_method
from billing.service.subscriptions import cancel, subscribe
from billing.store.store import Store
from billing.store.tables import (
    accounting_periods,
    applications,
    customers,
    dunning_cases,
    dunning_steps,
    invoices,
    journal_entries,
    journal_lines,
    outbox,
    payment_attempts,
    payments,
    subscriptions,
)

Make = Callable[..., str]
NEW_YEAR = date(2025, 1, 1)


def at(on: date, hour: int = 9) -> datetime:
    return datetime(on.year, on.month, on.day, hour, tzinfo=UTC)


def days(store: Store, gateway: SimulatedGateway, first: date, last: date) -> list[CollectSummary]:
    """Collect once a day, both days included."""
    return [collect(store, gateway, at(first + timedelta(days=n))) for n in range((last - first).days + 1)]


def rows(store: Store, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    """The named columns of all rows, in the order of the key."""
    order = [column.name for column in table.primary_key]
    found = store.rows(select(table).order_by(*(table.c[name] for name in order)))
    return [tuple(row[name] for name in columns) for row in found]


def accounts(store: Store) -> dict[str, int]:
    """Balance by account, debit less credit."""
    totals: dict[str, int] = {}
    for account, debit, credit in rows(store, journal_lines, "account", "debit_minor", "credit_minor"):
        totals[account] = totals.get(account, 0) + debit - credit
    return totals


def topics(store: Store) -> list[str]:
    money = ("payment", "dunning", "subscription.canceled")
    return [topic for (topic,) in rows(store, outbox, "topic") if topic.startswith(money)]


def test_an_invoice_is_charged_on_the_day_it_is_due(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), date(2025, 1, 2))
    gateway = SimulatedGateway()
    before, on_the_day = days(company, gateway, NEW_YEAR, date(2025, 1, 2))
    assert before == CollectSummary()
    assert on_the_day == CollectSummary(created=1, attempts=1, captured=1, captured_minor={"EUR": 12000})
    assert rows(company, invoices, "state", "paid_on") == [("paid", date(2025, 1, 2))]
    assert rows(company, payments, "state", "received_on", "attempt") == [("captured", date(2025, 1, 2), 1)]
    assert rows(company, applications, "source_kind", "invoice_id", "amount_minor", "applied_on") == [
        ("payment", "invoice-001", 12000, date(2025, 1, 2))
    ]
    assert accounts(company) == {"gateway_clearing": 12000, "customer_credit": 0, "receivable": -12000}
    assert topics(company) == ["payment_method.added", "payment.captured"]


def test_a_second_call_charges_nothing(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    collect(company, gateway, at(NEW_YEAR))
    assert collect(company, gateway, at(NEW_YEAR)) == CollectSummary()
    assert gateway.captured_minor == {rows(company, payments, "payment_id")[0][0] + "/1": 12000}


def test_only_what_is_still_owed_is_charged(company: Store, customer: Make, invoice: Make) -> None:
    for n, amount in enumerate((5000, 12000)):
        invoice_id = invoice(customer(f"c{n}"), NEW_YEAR)
        note = {"application_id": f"n{n}", "source_kind": "credit_note", "source_id": f"note{n}"}
        credit = note | {"invoice_id": invoice_id, "amount_minor": amount, "applied_on": NEW_YEAR}
        company.insert(applications, [credit], at(NEW_YEAR))
    summary = collect(company, SimulatedGateway(), at(NEW_YEAR))
    assert (summary.created, summary.captured_minor) == (1, {"EUR": 7000})
    assert rows(company, invoices, "state") == [("paid",), ("paid",)]


def test_an_invoice_on_terms_waits_for_the_customer(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), NEW_YEAR, collection="terms")
    assert collect(company, SimulatedGateway(), at(NEW_YEAR)) == CollectSummary()


def test_the_day_is_the_customers_own(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("sydney", time_zone="Australia/Sydney"), date(2025, 1, 2))
    invoice(customer("honolulu", time_zone="Pacific/Honolulu"), date(2025, 1, 2))
    gateway = SimulatedGateway()
    assert collect(company, gateway, datetime(2025, 1, 1, 14, tzinfo=UTC)).captured == 1
    assert collect(company, gateway, datetime(2025, 1, 2, 9, tzinfo=UTC)).captured == 0
    assert collect(company, gateway, datetime(2025, 1, 2, 10, tzinfo=UTC)).captured == 1
    assert rows(company, payments, "customer_id", "received_on") == [
        ("sydney", date(2025, 1, 2)),
        ("honolulu", date(2025, 1, 2)),
    ]


def test_a_soft_decline_is_retried_on_3_8_15_and_22_january_and_ends_the_subscription(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "insufficient_funds")
    summaries = days(company, gateway, NEW_YEAR, date(2025, 1, 31))
    tried = [date(2025, 1, 1 + n) for n, one in enumerate(summaries) if one.attempts]
    assert tried == [date(2025, 1, day) for day in (1, 3, 8, 15, 22)]
    assert rows(company, dunning_steps, "step", "due_on", "outcome") == [
        (1, date(2025, 1, 3), "declined"),
        (2, date(2025, 1, 8), "declined"),
        (3, date(2025, 1, 15), "declined"),
        (4, date(2025, 1, 22), "declined"),
    ]
    assert rows(company, dunning_cases, "opened_on", "closed_on", "closed_as") == [
        (NEW_YEAR, date(2025, 1, 22), "canceled_for_payment")
    ]
    columns = ("status", "ends_on", "cancel_reason", "was_in_dunning")
    assert rows(company, subscriptions, *columns) == [("canceled", date(2025, 1, 22), "payment", True)]
    assert rows(company, payments, "state", "next_attempt_at") == [("canceled", None)]
    assert rows(company, invoices, "state") == [("open",)]
    assert accounts(company) == {}
    assert topics(company) == [
        "payment_method.added",
        "dunning.opened",
        *["payment.failed"] * 5,
        "subscription.canceled",
        "dunning.closed",
    ]


def test_a_failed_payment_makes_the_subscription_past_due_until_one_succeeds(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "insufficient_funds")
    gateway.plan("anna", "captured", from_on=date(2025, 1, 8))
    days(company, gateway, NEW_YEAR, date(2025, 1, 7))
    assert rows(company, subscriptions, "status") == [("past_due",)]
    summary = collect(company, gateway, at(date(2025, 1, 8)))
    assert (summary.captured, summary.cases_recovered) == (1, 1)
    assert rows(company, subscriptions, "status", "ends_on") == [("active", None)]
    columns = ("closed_on", "closed_as", "recovered_attempt", "recovered_days", "recovered_minor")
    assert rows(company, dunning_cases, *columns) == [(date(2025, 1, 8), "recovered", 3, 7, 12000)]
    assert rows(company, dunning_steps, "outcome") == [("declined",), ("captured",)]
    assert days(company, gateway, date(2025, 1, 9), date(2025, 2, 28)) == [CollectSummary()] * 51


def test_a_hard_decline_is_not_retried_and_ends_on_day_21(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "stolen_card")
    summaries = days(company, gateway, NEW_YEAR, date(2025, 1, 23))
    assert sum(one.attempts for one in summaries) == 1
    assert [n for n, one in enumerate(summaries) if one.canceled] == [21]
    assert rows(company, subscriptions, "ends_on", "cancel_reason") == [(date(2025, 1, 22), "payment")]


def test_a_new_method_is_tried_at_once(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "card_expired", method_ref="card-1")
    days(company, gateway, NEW_YEAR, date(2025, 1, 4))
    add_payment_method(company, at(date(2025, 1, 5), 8), customer_id="anna", gateway_ref="card-2")
    assert collect(company, gateway, at(date(2025, 1, 5))).captured == 1
    assert rows(company, payment_attempts, "attempt", "outcome", "decline_class") == [
        (1, "declined", "hard"),
        (2, "captured", None),
    ]
    assert rows(company, dunning_cases, "closed_as", "recovered_days") == [("recovered", 4)]


def test_a_customer_without_a_method_is_asked_for_one(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna", card=None), NEW_YEAR)
    gateway = SimulatedGateway()
    collect(company, gateway, at(NEW_YEAR))
    assert rows(company, payment_attempts, "decline_class", "decline_code") == [("hard", "no_payment_method")]
    assert gateway.captured_minor == {}


def test_an_expired_card_is_not_charged(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), NEW_YEAR)
    expired = date(2024, 12, 31)
    add_payment_method(
        company, at(date(2024, 12, 2)), customer_id="anna", gateway_ref="old", expires_on=expired
    )
    gateway = SimulatedGateway()
    collect(company, gateway, at(NEW_YEAR))
    assert rows(company, payment_attempts, "outcome", "decline_code") == [("declined", "card_expired")]
    assert gateway.captured_minor == {}


def test_a_customer_who_has_to_act_is_reminded_on_days_0_3_and_7(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "authentication_required")
    reminded = []
    for n in range(12):
        before = topics(company).count("payment.action_needed")
        collect(company, gateway, at(NEW_YEAR + timedelta(days=n)))
        if topics(company).count("payment.action_needed") > before:
            reminded.append(n)
    assert reminded == [0, 3, 7]


def test_a_technical_failure_is_tried_again_after_1_4_and_24_hours_and_then_is_soft(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "gateway_down")
    start = datetime(2025, 1, 1, tzinfo=UTC)
    tried = [hour for hour in range(72) if collect(company, gateway, start + timedelta(hours=hour)).attempts]
    assert tried[:4] == [0, 1, 5, 29]
    assert rows(company, payment_attempts, "attempt", "tries", "decline_class")[0] == (1, 4, "soft")
    assert rows(company, dunning_steps, "due_on")[0] == (date(2025, 1, 4),)


def test_an_unknown_outcome_is_asked_again_with_its_key_and_charged_once(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "unknown")
    first = collect(company, gateway, at(NEW_YEAR))
    assert (first.unknown, first.captured) == (1, 0)
    assert rows(company, invoices, "state") == [("open",)]
    second = collect(company, gateway, at(NEW_YEAR, 10))
    assert (second.unknown, second.captured) == (0, 1)
    assert rows(company, payment_attempts, "attempt", "tries", "outcome") == [(1, 2, "captured")]
    assert list(gateway.captured_minor.values()) == [12000]
    assert rows(company, dunning_cases) == []


class BreaksOnce(SimulatedGateway):
    """Takes the money of its first charge, then breaks the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def charge(self, charge: Charge) -> Answer:
        self.keys.append(charge.key)
        answer = super().charge(charge)
        if len(self.keys) == 1:
            raise ConnectionError
        return answer


def test_a_crash_while_charging_repeats_the_key_and_not_the_charge(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = BreaksOnce()
    with pytest.raises(ConnectionError):
        collect(company, gateway, at(NEW_YEAR))
    collect(company, gateway, at(NEW_YEAR))
    assert gateway.keys[0] == gateway.keys[1]
    assert list(gateway.captured_minor.values()) == [12000]
    assert rows(company, invoices, "state") == [("paid",)]


def test_a_success_collects_what_else_failed_in_its_case(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    invoice("anna", date(2025, 1, 2))
    gateway = SimulatedGateway()
    gateway.plan("anna", "insufficient_funds")
    gateway.plan("anna", "captured", from_on=date(2025, 1, 3))
    days(company, gateway, NEW_YEAR, date(2025, 1, 2))
    assert len(rows(company, dunning_cases)) == 1
    summary = collect(company, gateway, at(date(2025, 1, 3)))
    assert (summary.captured, summary.cases_recovered) == (2, 1)
    assert rows(company, dunning_cases, "closed_as", "recovered_minor") == [("recovered", 24000)]
    assert rows(company, subscriptions, "status") == [("active",)]


def test_what_fails_again_after_a_success_opens_a_new_case(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    invoice("anna", date(2025, 1, 2))
    gateway = SimulatedGateway()
    gateway.plan("anna", ("insufficient_funds", "captured"))
    gateway.plan("anna", ("insufficient_funds", "captured"), from_on=date(2025, 1, 2))
    days(company, gateway, NEW_YEAR, date(2025, 1, 2))
    gateway.plan("anna", "insufficient_funds", from_on=date(2025, 1, 4))
    collect(company, gateway, at(date(2025, 1, 3)))
    invoice("anna", date(2025, 1, 4))
    collect(company, gateway, at(date(2025, 1, 4)))
    assert rows(company, dunning_cases, "opened_on", "closed_as") == [
        (NEW_YEAR, "recovered"),
        (date(2025, 1, 4), None),
    ]
    assert rows(company, subscriptions, "status") == [("past_due",)]


def test_only_the_subscriptions_on_the_unpaid_invoice_end(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    subscribe(company, at(NEW_YEAR), subscription_id="sub-other", customer_id="anna", plan_id="basic")
    gateway = SimulatedGateway()
    gateway.plan("anna", "stolen_card")
    days(company, gateway, NEW_YEAR, date(2025, 1, 22))
    assert rows(company, subscriptions, "subscription_id", "status") == [
        ("sub-anna", "canceled"),
        ("sub-other", "active"),
    ]


def test_a_cancellation_stops_all_further_attempts(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "insufficient_funds")
    collect(company, gateway, at(NEW_YEAR))
    cancel(company, at(date(2025, 1, 2)), subscription_id="sub-anna", when="now", reason="unused")
    summaries = days(company, gateway, date(2025, 1, 2), date(2025, 1, 31))
    assert sum(one.attempts for one in summaries) == 0
    assert rows(company, dunning_cases, "closed_on", "closed_as") == [
        (date(2025, 1, 2), "canceled_by_customer")
    ]
    assert rows(company, subscriptions, "cancel_reason", "was_in_dunning") == [("unused", True)]


def test_the_next_bill_run_looks_at_a_customer_whose_subscription_ended(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    company.update(customers, [{"customer_id": "anna", "next_bill_on": date(2025, 2, 1)}], at(NEW_YEAR))
    gateway = SimulatedGateway()
    gateway.plan("anna", "stolen_card")
    days(company, gateway, NEW_YEAR, date(2025, 1, 22))
    assert rows(company, customers, "next_bill_on") == [(date(2025, 1, 22),)]


def test_nothing_is_charged_into_a_locked_month(company: Store, customer: Make, invoice: Make) -> None:
    invoice(customer("anna"), NEW_YEAR)
    lock = {"entity_id": "seller", "month": NEW_YEAR, "locked_at": at(NEW_YEAR)}
    company.insert(accounting_periods, [lock], at(NEW_YEAR))
    gateway = SimulatedGateway()
    with pytest.raises(BillingError, match="period_locked"):
        collect(company, gateway, at(NEW_YEAR))
    assert rows(company, journal_entries) == rows(company, payments) == []
    assert gateway.captured_minor == {}


def test_many_payments_leave_books_that_balance_entry_by_entry(
    company: Store, customer: Make, invoice: Make
) -> None:
    for n in range(10):
        customer(f"c{n}")
        invoice(f"c{n}", NEW_YEAR + timedelta(days=n), amount_minor=100 + n)
    gateway = SimulatedGateway(5, decline_ppm=400_000)
    days(company, gateway, NEW_YEAR, date(2025, 2, 15))
    sums: dict[str, list[int]] = {}
    for entry_id, debit, credit in rows(company, journal_lines, "entry_id", "debit_minor", "credit_minor"):
        entry = sums.setdefault(entry_id, [0, 0])
        entry[0] += debit
        entry[1] += credit
    taken = sum(gateway.captured_minor.values())
    assert all(debit == credit > 0 for debit, credit in sums.values())
    assert accounts(company)["gateway_clearing"] == taken
    assert accounts(company)["customer_credit"] == 0
    assert taken == sum(amount for (amount,) in rows(company, applications, "amount_minor"))
    ended = [state for (state,) in rows(company, payments, "state")]
    assert {*ended} <= {"captured", "canceled"}
    assert ended.count("canceled") == rows(company, subscriptions, "cancel_reason").count(("payment",))


def test_the_invoice_names_its_method_and_a_good_default_takes_over_when_it_was_refused_for_good(
    company: Store, customer: Make, invoice: Make
) -> None:
    paper = invoice(customer("anna"), NEW_YEAR)
    own = add_payment_method(
        company, at(date(2024, 12, 2)), customer_id="anna", gateway_ref="own", is_default=False
    )
    company.update(invoices, [{"invoice_id": paper, "method_id": own}], at(NEW_YEAR, 1))
    gateway = SimulatedGateway()
    gateway.plan("anna", "stolen_card", method_ref="own")
    collect(company, gateway, at(NEW_YEAR))
    new = add_payment_method(company, at(date(2025, 1, 2), 8), customer_id="anna", gateway_ref="card-2")
    collect(company, gateway, at(date(2025, 1, 2)))
    assert rows(company, payment_attempts, "attempt", "method_id", "outcome") == [
        (1, own, "declined"),
        (2, new, "captured"),
    ]


class Meanwhile(SimulatedGateway):
    """Does something else while it is asked."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act

    def charge(self, charge: Charge) -> Answer:
        self.act()
        return super().charge(charge)


def test_money_of_an_invoice_that_was_paid_meanwhile_is_credit(
    company: Store, customer: Make, invoice: Make
) -> None:
    """120.00 are charged; a note of 50.00 pays a part of the invoice before the answer is written."""
    paper = invoice(customer("anna"), NEW_YEAR)

    def pay() -> None:
        note = {"application_id": "a", "source_kind": "credit_note", "source_id": "note", "invoice_id": paper}
        company.insert(applications, [note | {"amount_minor": 5000, "applied_on": NEW_YEAR}], at(NEW_YEAR))

    assert collect(company, Meanwhile(pay), at(NEW_YEAR)).captured_minor == {"EUR": 12000}
    assert [amount for (amount,) in rows(company, applications, "amount_minor")] == [5000, 7000]
    assert rows(company, invoices, "state") == [("paid",)]
    assert rows(company, payments, "amount_minor", "is_spent") == [(12000, False)]
    assert accounts(company) == {"gateway_clearing": 12000, "customer_credit": -5000, "receivable": -7000}


def test_the_rest_alone_is_charged_where_something_else_paid_a_part_after_a_decline(
    company: Store, customer: Make, invoice: Make
) -> None:
    paper, gateway = invoice(customer("anna"), NEW_YEAR), SimulatedGateway()
    gateway.plan("anna", ("insufficient_funds", "captured"))
    collect(company, gateway, at(NEW_YEAR))
    note = {"application_id": "a", "source_kind": "credit_note", "source_id": "note", "invoice_id": paper}
    company.insert(applications, [note | {"amount_minor": 5000, "applied_on": NEW_YEAR}], at(NEW_YEAR))
    assert collect(company, gateway, at(date(2025, 1, 3))).captured_minor == {"EUR": 7000}
    assert rows(company, payment_attempts, "attempt", "amount_minor") == [(1, 12000), (2, 7000)]
    assert rows(company, invoices, "state") == [("paid",)]


def test_what_is_paid_in_full_after_a_decline_is_not_charged_and_its_case_recovers(
    company: Store, customer: Make, invoice: Make
) -> None:
    paper, gateway = invoice(customer("anna"), NEW_YEAR), SimulatedGateway()
    gateway.plan("anna", ("insufficient_funds", "captured"))
    collect(company, gateway, at(NEW_YEAR))
    note = {"application_id": "a", "source_kind": "credit_note", "source_id": "note", "invoice_id": paper}
    company.insert(applications, [note | {"amount_minor": 12000, "applied_on": NEW_YEAR}], at(NEW_YEAR))
    assert collect(company, gateway, at(date(2025, 1, 3))) == CollectSummary()
    assert gateway.captured_minor == {}
    assert rows(company, payments, "state") == [("canceled",)]
    assert rows(company, invoices, "state") == [("paid",)]
    assert rows(company, dunning_cases, "closed_as") == [("recovered",)]
    assert rows(company, subscriptions, "status") == [("active",)]


def test_of_an_unknown_charge_that_is_not_needed_any_more_the_gateway_is_asked_and_it_is_not_made_again(
    company: Store, customer: Make, invoice: Make
) -> None:
    """One was captured and is credit; of the other, which broke before it arrived, nothing came."""
    gateway = Lossy()
    papers = [invoice(customer(f"c{n}"), NEW_YEAR) for n in range(2)]
    with pytest.raises(ConnectionError):
        collect(company, gateway, at(NEW_YEAR))
    company.update(invoices, [{"invoice_id": one, "state": "void"} for one in papers], at(NEW_YEAR))
    asked = list(gateway.keys)
    summary = collect(company, gateway, at(NEW_YEAR))
    assert gateway.keys == asked
    assert (summary.attempts, summary.captured) == (1, 1)
    assert rows(company, payments, "state", "is_spent") == [("canceled", False), ("captured", False)]
    assert rows(company, applications) == []
    assert accounts(company) == {"gateway_clearing": 12000, "customer_credit": -12000}


class Lossy(SimulatedGateway):
    """Loses the first charge before it arrives, and the answers of those that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def charge(self, charge: Charge) -> Answer:
        self.keys.append(charge.key)
        if len(self.keys) > 1:
            super().charge(charge)
        raise ConnectionError


def test_a_card_that_expires_while_its_charge_is_unknown_still_tells_what_it_paid(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna", card=None), NEW_YEAR)
    add_payment_method(
        company, at(date(2024, 12, 2)), customer_id="anna", gateway_ref="card", expires_on=NEW_YEAR
    )
    gateway = SimulatedGateway()
    gateway.plan("anna", "unknown")
    collect(company, gateway, at(NEW_YEAR))
    assert collect(company, gateway, at(date(2025, 1, 2))).captured == 1
    assert rows(company, payment_attempts, "attempt", "outcome") == [(1, "captured")]


def test_a_direct_debit_that_takes_three_days_is_one_attempt(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), NEW_YEAR)
    gateway = SimulatedGateway()
    gateway.plan("anna", "captured", delay_days=3)
    outcomes = [(one.unknown, one.captured) for one in days(company, gateway, NEW_YEAR, date(2025, 1, 4))]
    assert outcomes == [(1, 0), (1, 0), (1, 0), (0, 1)]
    assert rows(company, payment_attempts, "attempt", "outcome", "attempted_on") == [
        (1, "captured", date(2025, 1, 4))
    ]


def test_one_charge_that_breaks_stops_no_other(company: Store, customer: Make, invoice: Make) -> None:
    for n in range(3):
        invoice(customer(f"c{n}"), NEW_YEAR)
    gateway = BreaksOnce()
    with pytest.raises(ConnectionError):
        collect(company, gateway, at(NEW_YEAR), chunk_size=2)
    assert rows(company, invoices, "state") == [("open",), ("paid",), ("paid",)]
    assert collect(company, gateway, at(NEW_YEAR)).captured == 1
    assert list(gateway.captured_minor.values()) == [12000] * 3


def test_a_clock_set_back_makes_no_attempt_before_the_last(
    company: Store, customer: Make, invoice: Make
) -> None:
    invoice(customer("anna"), date(2025, 1, 10))
    gateway = SimulatedGateway()
    gateway.plan("anna", "stolen_card", method_ref="card-1")
    collect(company, gateway, at(date(2025, 1, 10)))
    add_payment_method(company, at(date(2025, 1, 5), 8), customer_id="anna", gateway_ref="card-2")
    for day in (5, 9):
        assert collect(company, gateway, at(date(2025, 1, day))) == CollectSummary()
    assert collect(company, gateway, at(date(2025, 1, 11))).captured == 1
    assert rows(company, payment_attempts, "attempted_on") == [(date(2025, 1, 10),), (date(2025, 1, 11),)]


def test_the_size_of_chunks_changes_nothing(worlds: list[tuple[Store, Make, Make]]) -> None:
    """One history in chunks of one payer, and of all."""
    found = []
    for (store, customer, invoice), chunk_size in zip(worlds, (1, 1000), strict=True):
        gateway = SimulatedGateway(3, decline_ppm=800_000)
        for n in range(10):
            invoice(customer(f"c{n}"), NEW_YEAR + timedelta(days=n % 3))
        for n in range(10):
            invoice(f"c{n}", date(2025, 1, 4), amount_minor=100 + n)
        for n in range(30):
            collect(store, gateway, at(NEW_YEAR + timedelta(days=n)), chunk_size=chunk_size)
        columns = ("invoice_id", "state", "attempt", "received_on", "failures", "first_failed_on")
        closed = ("customer_id", "opened_on", "closed_on", "closed_as", "recovered_minor")
        found.append((sorted(rows(store, payments, *columns)), sorted(rows(store, dunning_cases, *closed))))
    assert found[0] == found[1]
    assert {row[1] for row in found[0][0]} >= {"captured", "canceled"}
    assert len(found[0][1]) > 3
