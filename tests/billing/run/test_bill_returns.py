"""A subscription that came back: what became of the money of its end stays as it was."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from shop import (
    at,
    fee,
    join,
    last_day,
    life,
    lines,
    live,
    notes,
    open_shop,
    parked,
    run,
    sell,
    take,
)
from sqlalchemy import select, update

from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service import contracts, customers, subscriptions, transfers
from billing.store import tables
from billing.store.store import Store

JAN, FEB = date(2025, 1, 1), date(2025, 2, 1)
ENDED, BACK = date(2025, 1, 11), date(2025, 1, 21)


def shop(store: Store, currency: str = "EUR", price: str = "31", **settings: str | int) -> str:
    """A monthly plan in advance, taken on 1 January and billed. The subscription."""
    open_shop(store, **settings)
    sell(store, "basic", fee(price), currency=currency)
    join(store, "anna", currency=currency)
    sub = take(store, JAN, "basic")
    run(store, JAN)
    return sub


def nets(store: Store) -> list[tuple[str, date, date, int]]:
    """Entry, service and net of all lines, notes included as credits."""
    back = [("credit", start, end, -net) for start, end, net, _ in notes(store)]
    return sorted(line[1:] for line in lines(store)) + sorted(back)


def look_at_all_time(store: Store, on: date) -> int:
    """The lines of a run that takes nothing as settled."""
    store.execute(update(tables.customers).values(next_bill_on=JAN, unsettled_from=None))
    made = run(store, on, 22)
    assert parked(store) == {}
    return int(made.lines) + int(made.credit_notes)


@pytest.mark.parametrize(
    ("currency", "price", "whole", "by", "is_run_between"),
    [
        ("USD", "31", 3100, "policy", True),
        ("JPY", "310", 310, "act", False),
        ("KWD", "31", 31000, "act", True),
        ("USD", "31", 3100, "policy", False),
    ],
)
def test_time_that_was_kept_stays_kept_when_the_customer_comes_back(
    store: Store, currency: str, price: str, whole: int, by: str, is_run_between: bool
) -> None:
    settings = {"on_cancel": "none"} if by == "policy" else {}
    sub = shop(store, currency, price, **settings)
    money = "none" if by == "act" else None
    subscriptions.cancel(store, at(ENDED), subscription_id=sub, when="now", money=money)
    if is_run_between:
        run(store, ENDED)
    subscriptions.reactivate(store, at(BACK), subscription_id=sub)
    run(store, BACK)
    assert nets(store) == [
        ("charge", JAN, FEB, whole),
        ("charge", BACK, date(2025, 2, 21), whole),
    ]
    assert look_at_all_time(store, date(2025, 2, 20)) == 0


def test_time_that_was_given_back_stays_given_back_and_no_gap_is_billed(store: Store) -> None:
    sub = shop(store)
    subscriptions.cancel(store, at(ENDED), subscription_id=sub, when="now")
    subscriptions.reactivate(store, at(BACK), subscription_id=sub)
    run(store, BACK)
    assert nets(store) == [
        ("charge", JAN, FEB, 3100),
        ("charge", BACK, date(2025, 2, 21), 3100),
        ("credit", ENDED, FEB, -2100),
    ]
    assert look_at_all_time(store, date(2025, 2, 20)) == 0


def test_each_end_of_several_keeps_what_was_said_of_its_money(store: Store) -> None:
    sub = shop(store)
    rounds = [(date(2025, 1, 6), "none"), (date(2025, 1, 13), "credit"), (date(2025, 1, 20), "none")]
    for on, money in rounds:
        subscriptions.cancel(store, at(on), subscription_id=sub, when="now", money=money)
        run(store, on)
        subscriptions.reactivate(store, at(on + timedelta(days=2)), subscription_id=sub)
        run(store, on + timedelta(days=2))
    # Of the month begun on 8 January 26 days are left on the 13th.
    assert nets(store) == [
        ("charge", JAN, FEB, 3100),
        ("charge", date(2025, 1, 8), date(2025, 2, 8), 3100),
        ("charge", date(2025, 1, 15), date(2025, 2, 15), 3100),
        ("charge", date(2025, 1, 22), date(2025, 2, 22), 3100),
        ("credit", date(2025, 1, 13), date(2025, 2, 8), -2600),
    ]
    assert look_at_all_time(store, date(2025, 2, 21)) == 0
    ends = store.rows(select(tables.items).order_by(tables.items.c.item_id))
    assert [(one["ended_on"], one["on_cancel"]) for one in ends] == [*rounds, (None, None)]


def test_a_kept_day_of_cancellation_and_a_full_term_stay_owed_after_a_return(store: Store) -> None:
    open_shop(store, cancel_day="used", term_end="full")
    sell(store, "basic", fee("31"))
    for customer_id in ("anna", "bert"):
        join(store, customer_id)
    sub = take(store, JAN, "basic")
    term = subscriptions.NewContract(term="P2W", auto_renew=False)
    bound = take(store, JAN, "basic", "bert", contract=term)
    run(store, JAN)
    subscriptions.cancel(store, at(ENDED), subscription_id=sub, when="now")
    run(store, ENDED)
    contracts.renew_due(store, at(date(2025, 1, 15)))
    run(store, date(2025, 1, 15))
    for one in (sub, bound):
        subscriptions.reactivate(store, at(BACK), subscription_id=one)
    run(store, BACK)
    assert nets(store) == [
        *[("charge", JAN, FEB, 3100)] * 2,
        *[("charge", BACK, date(2025, 2, 21), 3100)] * 2,
        ("credit", date(2025, 1, 12), FEB, -2000),
    ]
    assert look_at_all_time(store, date(2025, 2, 20)) == 0


@pytest.mark.parametrize("is_paid", [True, False])
def test_an_end_by_dunning_gives_back_paid_time_alone_also_after_a_return(
    store: Store, is_paid: bool
) -> None:
    sub = shop(store)
    if is_paid:
        customers.add_payment_method(store, at(JAN), customer_id="anna", kind="card", gateway_ref="card")
    days = [JAN + timedelta(days=n) for n in range(22)]
    for on in days:
        collect(store, SimulatedGateway(), at(on, 21))
    if is_paid:
        subscriptions.cancel(store, at(days[-1]), subscription_id=sub, when="now", reason="payment")
    run(store, days[-1], 22)
    subscriptions.reactivate(store, at(date(2025, 1, 27)), subscription_id=sub)
    run(store, date(2025, 1, 27))
    # 22 to 31 January, ten days.
    credits = [one[1:] for one in nets(store) if one[0] == "credit"]
    assert credits == ([(days[-1], FEB, -1000)] if is_paid else [])
    assert look_at_all_time(store, date(2025, 1, 31)) == 0


def test_an_invoice_paid_after_its_subscription_ended_unpaid_brings_no_credit(store: Store) -> None:
    sub = shop(store)
    ended = date(2025, 1, 22)
    subscriptions.cancel(store, at(ended), subscription_id=sub, when="now", reason="payment")
    run(store, ended)
    invoice = store.rows(select(tables.invoices))[0]
    paid = at(date(2025, 1, 24))
    transfers.receive_transfer(store, paid, invoice_id=invoice["invoice_id"], amount_minor=3689)
    subscriptions.reactivate(store, at(date(2025, 1, 27)), subscription_id=sub)
    run(store, date(2025, 1, 27))
    assert [one[0] for one in nets(store)] == ["charge", "charge"]
    assert look_at_all_time(store, date(2025, 1, 31)) == 0


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("seed", [2, 19, 35])
def test_what_is_settled_stays_so_in_any_life_whose_paid_time_is_kept(seed: int) -> None:
    acts = life(seed)
    with live(acts, "daily", on_cancel="none", cancel_day="used") as lived:
        lived.execute(update(tables.customers).values(next_bill_on=acts[0].on, unsettled_from=None))
        again = run(lived, last_day(acts), 21)
        assert (again.customers, again.lines, again.credit_notes) == (1, 0, 0)
