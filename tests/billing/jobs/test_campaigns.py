"""Campaigns over overdue money: each currency of a customer by itself, from a threshold on, step by step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.jobs.dun import dun
from billing.service.campaigns import assign_campaign, create_campaign
from billing.service.policies import set_policy
from billing.service.transfers import receive_transfer
from billing.store.store import Store
from billing.store.tables import (
    campaign_thresholds,
    customers,
    dunning_cases,
    dunning_steps,
    invoice_disputes,
    invoices,
)

Make = Callable[..., str]
DUE = date(2025, 3, 1)


def after(days: int) -> datetime:
    on = DUE + timedelta(days=days)
    return datetime(on.year, on.month, on.day, 9, tzinfo=UTC)


def rows(store: Store, table: Any, *names: str) -> list[tuple[Any, ...]]:
    found = store.rows(select(table).order_by(*table.primary_key.columns))
    return [tuple(row[name] for name in names) for row in found]


@pytest.fixture
def chased(company: Store, customer: Make) -> Store:
    """Anna, who is chased from 150.00 EUR and 100.00 USD on, twice, more than 2 days apart."""
    customer("anna", card=None)
    create_campaign(
        company,
        after(-30),
        campaign_id="patient",
        name="Patient",
        thresholds={"EUR": "150", "USD": "100"},
        max_attempts=2,
        days_between=2,
    )
    assign_campaign(company, after(-30), customer_id="anna", campaign_id="patient")
    return company


def steps_by_day(store: Store, days: range) -> list[int]:
    return [day for day in days if dun(store, after(day)).steps]


def test_a_campaign_waits_for_its_threshold_and_begins_when_it_is_reached(
    chased: Store, invoice: Make
) -> None:
    """149.00 wait; 10.00 more that fall due on day 5 are overdue on day 6."""
    invoice("anna", DUE, amount_minor=14900, collection="terms")
    invoice("anna", DUE + timedelta(days=5), amount_minor=1000, collection="terms")
    # The next step is more than two days later, and there are two.
    assert steps_by_day(chased, range(-4, 30)) == [6, 9]
    assert rows(chased, dunning_steps, "step", "kind", "due_on", "outcome") == [
        (1, "campaign", DUE + timedelta(days=6), "sent"),
        (2, "campaign", DUE + timedelta(days=9), "sent"),
    ]
    assert rows(chased, dunning_cases, "track", "state") == [("campaign", "reminded")]
    assert rows(chased, customers, "overdue_state") == [("reminded",)]


@pytest.mark.parametrize(("gap", "days"), [("more_than", [1, 4]), ("at_least", [1, 3])])
def test_the_days_between_are_a_setting(chased: Store, invoice: Make, gap: str, days: list[int]) -> None:
    set_policy(chased, after(-30), valid_from=date(2024, 12, 1), settings={"campaign_gap": gap})
    invoice("anna", DUE, amount_minor=15000, collection="terms")
    assert steps_by_day(chased, range(8)) == days


def test_each_currency_is_counted_by_itself(chased: Store, invoice: Make) -> None:
    invoice("anna", DUE, amount_minor=14900, collection="terms")
    paper = invoice("anna", DUE, amount_minor=10000, collection="terms")
    other = invoice("anna", DUE, amount_minor=99999, collection="terms")
    for invoice_id, currency in ((paper, "USD"), (other, "KWD")):
        one = update(invoices).where(invoices.c.invoice_id == invoice_id)
        chased.execute(one.values(currency=currency))
    dun(chased, after(1))
    assert rows(chased, dunning_cases, "currency") == [("USD",)]


def test_disputed_money_does_not_reach_a_threshold(chased: Store, invoice: Make) -> None:
    paper = invoice("anna", DUE, amount_minor=20000, collection="terms")
    row = {"dispute_id": "d", "invoice_id": paper, "amount_minor": 5001, "opened_on": DUE}
    chased.insert(invoice_disputes, [row], after(0))
    assert steps_by_day(chased, range(10)) == []
    chased.execute(update(invoice_disputes).values(amount_minor=5000))
    assert dun(chased, after(11)).messages == 1


def test_a_campaign_begins_anew_once_its_money_came(chased: Store, invoice: Make) -> None:
    paper = invoice("anna", DUE, amount_minor=15000, collection="terms")
    assert steps_by_day(chased, range(10)) == [1, 4]
    receive_transfer(chased, after(10), invoice_id=paper, amount_minor=15000)
    assert dun(chased, after(10)).closed == 1
    invoice("anna", DUE + timedelta(days=20), amount_minor=15000, collection="terms")
    assert steps_by_day(chased, range(11, 40)) == [21, 24]
    assert rows(chased, dunning_cases, "closed_as", "recovered_attempt", "recovered_minor") == [
        ("recovered", 2, 15000),
        (None, None, None),
    ]


def test_a_campaign_takes_the_place_of_the_steps_by_days_and_back(
    company: Store, customer: Make, invoice: Make
) -> None:
    customer("anna", card=None)
    invoice("anna", DUE, amount_minor=20000, collection="terms")
    dun(company, after(20))
    assert rows(company, customers, "overdue_state") == [("restricted",)]
    create_campaign(
        company,
        after(20),
        campaign_id="c",
        name="C",
        thresholds={"EUR": "1"},
        max_attempts=1,
        days_between=0,
    )
    assign_campaign(company, after(20), customer_id="anna", campaign_id="c")
    assert dun(company, after(21)).steps == {"campaign": 1}
    assert rows(company, customers, "overdue_state") == [("reminded",)]
    assign_campaign(company, after(22), customer_id="anna", campaign_id=None)
    dun(company, after(22))
    assert rows(company, dunning_cases, "track", "closed_as") == [
        ("terms", "replaced"),
        ("campaign", "replaced"),
        ("terms", None),
    ]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": " "}, "missing_value"),
    ({"thresholds": {}}, "missing_value"),
    ({"thresholds": {"XXQ": "1"}}, "unknown_currency"),
    ({"thresholds": {"EUR": "0.001"}}, "too_many_decimals"),
    ({"thresholds": {"EUR": "0"}}, "negative_quantity"),
    ({"thresholds": {"EUR": "-1"}}, "negative_quantity"),
    ({"max_attempts": 0}, "negative_quantity"),
    ({"days_between": -1}, "negative_quantity"),
]


@pytest.mark.parametrize(("wrong", "code"), BAD)
def test_a_campaign_that_cannot_be_right_is_refused(company: Store, wrong: dict[str, Any], code: str) -> None:
    about: dict[str, Any] = {"name": "C", "thresholds": {"EUR": "1"}, "max_attempts": 1, "days_between": 0}
    with pytest.raises(BillingError, match=code):
        create_campaign(company, after(0), **about | wrong)
    assert rows(company, campaign_thresholds, "campaign_id") == []


def test_a_campaign_and_its_customer_have_to_be_there(chased: Store) -> None:
    with pytest.raises(BillingError, match="unknown_campaign"):
        assign_campaign(chased, after(0), customer_id="anna", campaign_id="none")
    with pytest.raises(BillingError, match="unknown_customer"):
        assign_campaign(chased, after(0), customer_id="none", campaign_id="patient")
    with pytest.raises(BillingError, match="immutable"):
        create_campaign(
            chased,
            after(0),
            campaign_id="patient",
            name="P",
            thresholds={"EUR": "1"},
            max_attempts=1,
            days_between=0,
        )
