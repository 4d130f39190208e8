"""What overdue money stops: new orders, then service; and what an approver decides about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.bill_run import bill
from billing.jobs.collect import collect
from billing.jobs.dun import dun
from billing.service import catalog
from billing.service.approvals import approve, list_approvals, reject
from billing.service.catalog import NewComponent, NewPrice
from billing.service.customers import add_payment_method
from billing.service.policies import set_policy
from billing.service.ramps import Phase, agree_ramp
from billing.service.subscriptions import (
    add_item,
    cancel,
    change_plan,
    change_quantity,
    pause,
    reactivate,
    resume,
    subscribe,
)
from billing.service.transfers import receive_transfer
from billing.service.wallets import grant, open_wallet
from billing.store.store import Store
from billing.store.tables import (
    approvals,
    customers,
    dunning_cases,
    invoices,
    item_versions,
    items,
    line_items,
    outbox,
    subscriptions,
)

Make = Callable[..., str]
DUE = date(2025, 3, 1)


def after(days: int, hour: int = 9) -> datetime:
    on = DUE + timedelta(days=days)
    return datetime(on.year, on.month, on.day, hour, tzinfo=UTC)


def sell(store: Store, plan_id: str, price: str, *, is_add_on: bool = False) -> None:
    at = datetime(2024, 12, 1, 8, tzinfo=UTC)
    catalog.create_plan(store, at, plan_id=plan_id, name=plan_id, product_id="goods", is_add_on=is_add_on)
    parts = [NewComponent("fee", "fee"), NewComponent("seat", "seat")]
    catalog.publish_plan_version(store, at, plan_id=plan_id, interval="P1M", components=parts)
    prices = [
        NewPrice(f"{plan_id}.1.fee", "flat", price),
        NewPrice(f"{plan_id}.1.seat", "per_unit", "1"),
    ]
    catalog.create_price_list(
        store,
        at,
        list_id=plan_id,
        name=plan_id,
        currency="EUR",
        valid_start=date(2020, 1, 1),
        prices=prices,
    )


@pytest.fixture
def anna(company: Store, customer: Make, invoice: Make) -> str:
    """Anna owes 120.00 since 1 March, and takes three seats of a plan; the id of her invoice."""
    sell(company, "small", "10")
    sell(company, "large", "20")
    sell(company, "extra", "5", is_add_on=True)
    customer("anna", card=None)
    company.execute(update(customers).values(collection="terms"))
    subscribe(
        company,
        after(-60),
        subscription_id="mine",
        customer_id="anna",
        plan_id="large",
        quantity=3,
    )
    return invoice("anna", DUE, collection="terms")


ORDERS: dict[str, Callable[[Store, datetime], Any]] = {
    "subscribe": lambda store, at: subscribe(store, at, customer_id="anna", plan_id="small"),
    "upgrade": lambda store, at: change_plan(store, at, subscription_id="sub-anna", plan_id="basic"),
    "more seats": lambda store, at: change_quantity(store, at, subscription_id="mine", quantity=4),
    "add-on": lambda store, at: add_item(store, at, subscription_id="mine", plan_id="extra"),
    "ramp": lambda store, at: agree_ramp(
        store, at, subscription_id="mine", phases=[Phase(date(2026, 1, 1), quantity=9)]
    ),
}
OTHERS: dict[str, Callable[[Store, datetime], Any]] = {
    "downgrade": lambda store, at: change_plan(store, at, subscription_id="mine", plan_id="small"),
    "fewer seats": lambda store, at: change_quantity(store, at, subscription_id="mine", quantity=2),
    "cancel": lambda store, at: cancel(store, at, subscription_id="mine"),
    "pause": lambda store, at: pause(store, at, subscription_id="mine"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_customer_is_restricted_from_the_twentieth_day(company: Store, anna: str, order: str) -> None:
    dun(company, after(20))
    with pytest.raises(BillingError, match="overdue_restricted"):
        ORDERS[order](company, after(20))
    receive_transfer(company, after(21), invoice_id=anna, amount_minor=12000)
    dun(company, after(21))
    ORDERS[order](company, after(21))


@pytest.mark.parametrize("order", ORDERS)
def test_a_customer_who_is_only_reminded_may_order(company: Store, anna: str, order: str) -> None:
    dun(company, after(19))
    ORDERS[order](company, after(19))


@pytest.mark.parametrize("act", OTHERS)
def test_a_restricted_customer_may_take_less(company: Store, anna: str, act: str) -> None:
    dun(company, after(20))
    OTHERS[act](company, after(20))


def test_who_left_comes_back_only_when_it_has_paid(company: Store, anna: str) -> None:
    cancel(company, after(10), subscription_id="mine", when="now")
    dun(company, after(20))
    with pytest.raises(BillingError, match="overdue_restricted"):
        reactivate(company, after(20), subscription_id="mine")


def test_a_suspension_is_not_ended_by_the_customer(company: Store, anna: str) -> None:
    dun(company, after(30))
    with pytest.raises(BillingError, match="overdue_restricted"):
        resume(company, after(30), subscription_id="mine")


def test_a_pause_of_the_customer_is_a_suspension_when_it_ends(company: Store, anna: str) -> None:
    """Paused by the customer from day 25 to 35 and suspended on day 30, cleared on day 40."""
    until = DUE + timedelta(days=35)
    pause(company, after(25), subscription_id="mine", until=until)
    dun(company, after(30))
    assert state_of(company, "mine") == "paused"
    receive_transfer(company, after(40), invoice_id=anna, amount_minor=12000)
    dun(company, after(40))
    assert pauses(company, "mine") == [
        (DUE + timedelta(days=-60), DUE + timedelta(days=25), None),
        (DUE + timedelta(days=25), until, "customer"),
        (until, DUE + timedelta(days=40), "overdue"),
        (DUE + timedelta(days=40), None, None),
    ]


def pauses(store: Store, subscription_id: str) -> list[tuple[date, date | None, str | None]]:
    asked = (
        select(item_versions)
        .join(items, items.c.item_id == item_versions.c.item_id)
        .where(items.c.subscription_id == subscription_id, item_versions.c.superseded_at.is_(None))
        .order_by(item_versions.c.effective_start)
    )
    return [(row["effective_start"], row["effective_end"], row["pause"]) for row in store.rows(asked)]


def state_of(store: Store, subscription_id: str) -> str:
    asked = select(subscriptions.c.status).where(subscriptions.c.subscription_id == subscription_id)
    return str(store.rows(asked)[0]["status"])


@pytest.mark.parametrize(
    ("setting", "expected_minor"),
    # Bert's 23.00 a month in arrears, which Anna pays: suspended from 31 March, cleared on 10 April. Of April
    # 21 of 30 days are billed, 16.10; or all of it.
    [("stop", 1610), ("continue", 2300)],
)
def test_blocked_days_are_billed_as_the_policy_says(
    company: Store, customer: Make, invoice: Make, setting: str, expected_minor: int
) -> None:
    set_policy(
        company,
        datetime(2024, 12, 1, tzinfo=UTC),
        valid_from=date(2024, 12, 1),
        settings={"suspension_billing": setting},
    )
    catalog.add_tax_rate(
        company, datetime(2024, 12, 1, tzinfo=UTC), country="DE", tax_rate_ppm=0, valid_from=date(2020, 1, 1)
    )
    at = datetime(2024, 12, 1, 8, tzinfo=UTC)
    catalog.create_plan(company, at, plan_id="late", name="late", product_id="goods")
    parts = [NewComponent("fee", "fee")]
    catalog.publish_plan_version(
        company, at, plan_id="late", interval="P1M", in_advance=False, components=parts
    )
    catalog.create_price_list(
        company,
        at,
        list_id="late",
        name="late",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        prices=[NewPrice("late.1.fee", "flat", "23")],
    )
    customer("anna", card=None)
    paper = invoice("anna", DUE, collection="terms")
    customer("bert", card=None)
    subscribe(company, after(0), subscription_id="mine", customer_id="bert", plan_id="late", bill_to="anna")
    dun(company, after(30))
    bill(company, after(31), up_to=date(2025, 4, 1))
    receive_transfer(company, after(40), invoice_id=paper, amount_minor=12000)
    dun(company, after(40))
    bill(company, after(61), up_to=date(2025, 5, 1))
    april = select(line_items.c.net_minor).where(
        line_items.c.component_id == "late.1.fee", line_items.c.service_start >= date(2025, 4, 1)
    )
    assert sum(row["net_minor"] for row in company.rows(april)) == expected_minor


def only_approval(store: Store, kind: str) -> str:
    asked = select(approvals.c.approval_id).where(approvals.c.kind == kind)
    ((found,),) = (tuple(row.values()) for row in store.rows(asked))
    return str(found)


def test_an_approved_hand_over_ends_what_was_not_paid_and_gives_no_credit(company: Store, anna: str) -> None:
    """The invoice was for `sub-anna`; what is paid goes on, suspended."""
    dun(company, after(60))
    listed = list_approvals(company)
    assert listed.select("kind", "customer_id", "state").rows() == [("collection", "anna", "pending")]
    approve(company, after(61), approval_id=only_approval(company, "collection"), decided_by="Mona")
    ended = company.rows(select(subscriptions).order_by(subscriptions.c.subscription_id))
    assert [(row["subscription_id"], row["status"], row["cancel_reason"]) for row in ended] == [
        ("mine", "suspended", None),
        ("sub-anna", "canceled", "payment"),
    ]
    assert ended[1]["ends_on"] == DUE + timedelta(days=61)
    assert ended[1]["was_in_dunning"]
    done = company.rows(select(approvals).order_by(approvals.c.approval_id))[0]
    assert (done["state"], done["decided_by"], done["decided_on"]) == (
        "approved",
        "Mona",
        DUE + timedelta(days=61),
    )
    assert company.rows(select(dunning_cases.c.closed_on)) == [{"closed_on": None}]


def test_a_decision_is_made_once(company: Store, anna: str) -> None:
    dun(company, after(60))
    approval_id = only_approval(company, "collection")
    with pytest.raises(BillingError, match="missing_value"):
        approve(company, after(60), approval_id=approval_id, decided_by=" ")
    reject(company, after(60), approval_id=approval_id, decided_by="Mona")
    for decide in (approve, reject):
        with pytest.raises(BillingError, match="illegal_transition"):
            decide(company, after(61), approval_id=approval_id, decided_by="Omar")
    with pytest.raises(BillingError, match="unknown_approval"):
        approve(company, after(61), approval_id="none", decided_by="Omar")
    assert state_of(company, "sub-anna") == "suspended"
    dun(company, after(70))
    assert list_approvals(company, state=None).height == 1
    topics = company.rows(
        select(outbox.c.topic).where(outbox.c.topic.like("approval.%")).order_by(outbox.c.message_id)
    )
    assert [row["topic"] for row in topics] == ["approval.requested", "approval.rejected"]


def test_an_approved_write_off_gives_the_money_up_and_closes_the_case(
    company: Store, anna: str, invoice: Make
) -> None:
    """What fell due later is named and given up too, what was paid meanwhile is not."""
    later = invoice("anna", DUE + timedelta(days=30), amount_minor=5000, collection="terms")
    paid = invoice("anna", DUE + timedelta(days=31), amount_minor=700, collection="terms")
    dun(company, after(90))
    receive_transfer(company, after(91), invoice_id=paid, amount_minor=700)
    approve(company, after(92), approval_id=only_approval(company, "write_off"), decided_by="Mona")
    states = company.rows(select(invoices.c.invoice_id, invoices.c.state, invoices.c.written_off_minor))
    assert {row["invoice_id"]: (row["state"], row["written_off_minor"]) for row in states} == {
        anna: ("uncollectible", 12000),
        later: ("uncollectible", 5000),
        paid: ("paid", 0),
    }
    (case,) = company.rows(select(dunning_cases))
    assert (case["closed_as"], case["closed_on"]) == ("written_off", DUE + timedelta(days=92))
    decided = company.rows(select(approvals.c.kind, approvals.c.state))
    assert {row["kind"]: row["state"] for row in decided} == {
        "collection": "withdrawn",
        "write_off": "approved",
    }
    (customer,) = company.rows(select(customers.c.overdue_state))
    assert customer["overdue_state"] == "written_off"
    with pytest.raises(BillingError, match="overdue_restricted"):
        subscribe(company, after(93), customer_id="anna", plan_id="small")


def test_a_restricted_customer_is_given_no_balance(company: Store, anna: str) -> None:
    wallet = open_wallet(company, after(0), customer_id="anna", name="Balance")
    grant(company, after(19), wallet_id=wallet, amount="5", reason="sorry")
    dun(company, after(20))
    with pytest.raises(BillingError, match="overdue_restricted"):
        grant(company, after(20), wallet_id=wallet, amount="5", reason="sorry")


def test_a_card_that_pays_leaves_what_is_overdue_on_terms_past_due(
    company: Store, anna: str, invoice: Make
) -> None:
    gateway = SimulatedGateway()
    gateway.plan("anna", ["insufficient_funds", "captured"])
    add_payment_method(company, after(0), customer_id="anna", gateway_ref="card")
    invoice("anna", DUE)
    dun(company, after(3))
    assert collect(company, gateway, after(3)).cases_opened == 1
    assert collect(company, gateway, after(5)).cases_recovered == 1
    assert state_of(company, "mine") == "past_due"
    receive_transfer(company, after(6), invoice_id=anna, amount_minor=12000)
    dun(company, after(6))
    assert state_of(company, "mine") == "active"
