"""Terms of contracts: renewals that must be accepted, pauses that lengthen a term, and trials with a card."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from shop import Part, at, fee, join, lines, notes, open_shop, parked, run, sell, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.core.terms import extended_end
from billing.gateways.simulated import SimulatedGateway
from billing.jobs.collect import collect
from billing.service import contracts, customers, subscriptions, undo
from billing.store import tables
from billing.store.store import Store

JAN, FEB, MAR, APR = (date(2025, month, 1) for month in (1, 2, 3, 4))


def bound(store: Store, term: str = "P1M", **named: Any) -> str:
    """A monthly plan of 31.00 under a contract `c` that is not renewed by itself."""
    open_shop(store)
    sell(store, "basic", fee("31"))
    join(store, "anna")
    terms = {"auto_renew": False, "notice_days": 0} | named
    contract = subscriptions.NewContract(term=term, contract_id="c", **terms)
    return take(store, JAN, "basic", contract=contract)


def contract(store: Store) -> dict[str, Any]:
    row = store.row(select(tables.contracts))
    assert row is not None
    return row


def agreed(store: Store) -> list[tuple[date, date, date | None]]:
    rows = store.rows(select(tables.contract_terms).order_by(tables.contract_terms.c.term_start))
    return [(row["term_start"], row["term_end"], row["accepted_on"]) for row in rows]


# Renewals that are accepted.


def test_a_term_runs_on_once_the_customer_accepts_and_only_once(store: Store) -> None:
    bound(store)
    contracts.accept_renewal(store, at(date(2025, 1, 20)), contract_id="c")
    assert contract(store)["renewal_accepted_on"] == date(2025, 1, 20)
    assert contracts.renew_due(store, at(FEB)).renewed == ("c",)
    assert agreed(store) == [(JAN, FEB, None), (FEB, MAR, date(2025, 1, 20))]
    assert contract(store)["renewal_accepted_on"] is None
    assert contracts.renew_due(store, at(MAR)).ended == ("c",)
    for on in (JAN, FEB, MAR, APR):
        run(store, on)
    assert [(line[2], line[4]) for line in lines(store)] == [(JAN, 3100), (FEB, 3100)]


def test_what_nobody_accepts_ends_with_its_term(store: Store) -> None:
    bound(store)
    assert contracts.renew_due(store, at(FEB)) == contracts.Renewals((), ("c",))


def test_an_acceptance_given_late_renews_one_term(store: Store) -> None:
    bound(store)
    contracts.accept_renewal(store, at(date(2025, 1, 31)), contract_id="c")
    assert contracts.renew_due(store, at(date(2025, 3, 15))).renewed == ("c",)
    assert [one[:2] for one in agreed(store)] == [(JAN, FEB), (FEB, MAR)]
    assert contracts.renew_due(store, at(date(2025, 3, 15))).ended == ("c",)


def test_an_acceptance_binds_and_none_follows_a_notice_or_the_end(store: Store) -> None:
    sub = bound(store)
    with pytest.raises(BillingError, match="unknown_contract"):
        contracts.accept_renewal(store, at(JAN), contract_id="d")
    contracts.give_notice(store, at(date(2025, 1, 2)), contract_id="c")
    with pytest.raises(BillingError, match="illegal_transition"):
        contracts.accept_renewal(store, at(date(2025, 1, 3)), contract_id="c")
    subscriptions.undo_cancel(store, at(date(2025, 1, 4)), subscription_id=sub)
    contracts.accept_renewal(store, at(date(2025, 1, 5)), contract_id="c")
    for again in (contracts.accept_renewal, contracts.give_notice):
        with pytest.raises(BillingError, match="illegal_transition"):
            again(store, at(date(2025, 1, 6)), contract_id="c")
    contracts.renew_due(store, at(FEB))
    contracts.renew_due(store, at(MAR))
    with pytest.raises(BillingError, match="illegal_transition"):
        contracts.accept_renewal(store, at(MAR), contract_id="c")


# Pauses that lengthen a term.


@pytest.mark.parametrize(
    ("pauses", "end"),
    [
        ([], APR),
        ([(date(2025, 2, 10), date(2025, 2, 20))], date(2025, 4, 11)),
        ([(date(2024, 12, 1), date(2025, 1, 4))], date(2025, 4, 4)),
        ([(date(2025, 3, 31), date(2025, 4, 10)), (date(2025, 4, 5), date(2025, 4, 6))], date(2025, 4, 11)),
        ([(date(2025, 3, 31), date(2025, 4, 10)), (date(2025, 4, 10), date(2025, 4, 12))], date(2025, 4, 13)),
        ([(date(2025, 3, 31), date(2025, 4, 10)), (date(2025, 4, 11), date(2025, 4, 12))], date(2025, 4, 11)),
    ],
)
def test_a_term_is_longer_by_the_days_paused_in_it(pauses: list[tuple[date, date]], end: date) -> None:
    """In the last row the term ends, ten days later, on the very day the second pause begins."""
    assert extended_end(JAN, APR, pauses) == end


@pytest.mark.parametrize("extends", [True, False])
def test_a_pause_moves_the_end_of_the_term_only_if_the_contract_says_so(store: Store, extends: bool) -> None:
    sub = bound(store, "P3M", pause_extends_term=extends)
    first, last = date(2025, 2, 10), date(2025, 2, 20)
    subscriptions.pause(store, at(FEB), subscription_id=sub, from_on=first, until=last)
    assert contract(store)["term_end"] == (date(2025, 4, 11) if extends else APR)
    subscriptions.resume(store, at(date(2025, 2, 15)), subscription_id=sub)
    end = date(2025, 4, 6) if extends else APR
    assert contract(store)["term_end"] == end
    for on in (JAN, FEB, first, date(2025, 2, 15), MAR, APR):
        contracts.renew_due(store, at(on, 19))
        run(store, on)
    contracts.renew_due(store, at(end))
    run(store, end)
    row = store.row(select(tables.subscriptions))
    assert row is not None
    assert (row["ends_on"], row["cancel_reason"], row["status"]) == (end, "term_ended", "canceled")
    served = sum((line[3] - line[2]).days * (1 if line[1] == "charge" else -1) for line in lines(store))
    served -= sum((note[1] - note[0]).days for note in notes(store))
    assert served == (90 if extends else 85)
    assert parked(store) == {}


def test_a_pause_without_end_keeps_the_term_open_until_the_resume(store: Store) -> None:
    sub = bound(store, "P3M", pause_extends_term=True)
    subscriptions.pause(store, at(date(2025, 3, 20)), subscription_id=sub)
    assert contract(store)["term_end"] == APR
    for on in (APR, date(2025, 4, 5)):
        assert contracts.renew_due(store, at(on)) == contracts.Renewals((), ())
    subscriptions.resume(store, at(date(2025, 4, 10)), subscription_id=sub)
    assert contract(store)["term_end"] == date(2025, 4, 22)
    assert contracts.renew_due(store, at(date(2025, 4, 22))).ended == ("c",)


def test_an_end_with_the_term_moves_with_it_and_a_pause_taken_back_moves_it_back(store: Store) -> None:
    sub = bound(store, "P3M", pause_extends_term=True)
    contracts.give_notice(store, at(date(2025, 1, 2)), contract_id="c")
    first = date(2025, 2, 10)
    named = {"from_on": first, "until": first + timedelta(days=10)}
    paused = subscriptions.pause(store, at(FEB), subscription_id=sub, **named)
    assert paused.ends_on == contract(store)["term_end"] == date(2025, 4, 11)
    back = undo.undo_change(store, at(FEB), subscription_id=sub)
    assert back.ends_on == contract(store)["term_end"] == APR
    assert agreed(store)[0][1] == APR


@pytest.mark.parametrize("auto_renew", [True, False])
@pytest.mark.parametrize("end", [date(2025, 3, 25), APR, date(2025, 4, 10)])
def test_a_pause_keeps_no_term_open_once_its_subscription_ended(
    store: Store, end: date, auto_renew: bool
) -> None:
    sub = bound(store, "P3M", pause_extends_term=True, auto_renew=auto_renew)
    pause_day, day = date(2025, 3, 20), JAN
    while day <= date(2025, 5, 31):
        if day == pause_day:
            subscriptions.pause(store, at(day), subscription_id=sub)
        if day == end:
            subscriptions.cancel(store, at(day), subscription_id=sub, when="now")
        contracts.renew_due(store, at(day))
        day += timedelta(days=1)
    # Renewals look a day ahead, for the zones where tomorrow has begun: on 31 March at a pause of eleven days
    # of a subscription that still runs.
    assert contract(store)["ended_on"] == (APR if end < APR else date(2025, 4, 12))
    row = store.row(select(tables.subscriptions))
    assert row is not None
    assert row["ends_on"] == end


def test_an_end_wished_on_the_last_day_of_a_term_does_not_move_with_it(store: Store) -> None:
    sub = bound(store, "P3M", pause_extends_term=True)
    subscriptions.pause(store, at(date(2025, 3, 20)), subscription_id=sub)
    subscriptions.cancel(store, at(APR, 6), subscription_id=sub, when="now")
    assert contracts.renew_due(store, at(APR)).ended == ("c",)
    row = store.row(select(tables.subscriptions))
    assert row is not None
    assert contract(store)["ended_on"] == row["ends_on"] == APR


def test_a_pause_counts_no_day_after_the_end_of_its_subscription(store: Store) -> None:
    sub = bound(store, "P3M", pause_extends_term=True)
    subscriptions.cancel(store, at(MAR), subscription_id=sub, when=date(2025, 3, 25))
    pause = {"from_on": date(2025, 3, 20), "until": date(2025, 4, 20)}
    subscriptions.pause(store, at(MAR), subscription_id=sub, **pause)
    assert contract(store)["term_end"] == date(2025, 4, 6)
    assert contracts.renew_due(store, at(date(2025, 4, 6))).ended == ("c",)


# Trials with and without a card.


def test_a_trial_with_a_card_does_not_start_without_one(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    join(store, "anna")
    trial = {"trial_days": 14, "trial_needs_method": True}
    with pytest.raises(BillingError, match="no_payment_method"):
        take(store, JAN, "basic", **trial)
    old = date(2024, 12, 31)
    customers.add_payment_method(store, at(old), customer_id="anna", gateway_ref="old", expires_on=old)
    with pytest.raises(BillingError, match="no_payment_method"):
        take(store, JAN, "basic", **trial)
    assert store.frame(select(tables.subscriptions)).is_empty()
    customers.add_payment_method(store, at(JAN), customer_id="anna", gateway_ref="card")
    take(store, JAN, "basic", **trial)
    end = date(2025, 1, 15)
    assert run(store, date(2025, 1, 14)).lines == 0
    run(store, end)
    assert collect(store, SimulatedGateway(), at(end, 21)).captured == 1


def test_a_trial_without_a_card_goes_on_and_the_customer_is_asked_for_one(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    join(store, "anna")
    take(store, JAN, "basic", trial_days=14)
    end = date(2025, 1, 15)
    for day in range(22):
        run(store, end + timedelta(days=day))
        collect(store, SimulatedGateway(), at(end + timedelta(days=day), 21))
    row = store.row(select(tables.subscriptions))
    assert row is not None
    assert (row["status"], row["cancel_reason"]) == ("canceled", "payment")


def test_the_payer_of_a_trial_needs_the_card(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    for customer_id in ("anna", "boss"):
        join(store, customer_id)
    customers.add_payment_method(store, at(JAN), customer_id="boss", gateway_ref="card")
    trial = {"trial_days": 14, "trial_needs_method": True}
    take(store, JAN, "basic", bill_to="boss", **trial)


# Trials that cost something.

TRIED = date(2025, 1, 15)


def paid_trial(store: Store, currency: str = "EUR", price: str = "1", whole: str = "31", **named: Any) -> str:
    """Two weeks on a plan of their own, then the plan itself."""
    open_shop(store)
    sell(store, "try", fee(price), interval="P2W", currency=currency)
    sell(store, "basic", fee(whole), currency=currency)
    sell(store, "better", fee(whole), currency=currency)
    join(store, "anna", currency=currency)
    return take(store, JAN, "basic", trial_days=14, trial_plan_id="try", **named)


@pytest.mark.parametrize(
    ("currency", "price", "whole", "nets"),
    [
        ("USD", "1", "31", (100, 3100)),
        ("JPY", "100", "3100", (100, 3100)),
        ("KWD", "0.1", "3.1", (100, 3100)),
    ],
)
def test_a_paid_trial_costs_its_own_price_and_then_the_plans(
    store: Store, currency: str, price: str, whole: str, nets: tuple[int, int]
) -> None:
    paid_trial(store, currency, price, whole)
    run(store, JAN)
    row = store.row(select(tables.subscriptions))
    assert row is not None
    assert (row["status"], row["trial_ends_on"], row["anchor_on"]) == ("trialing", TRIED, TRIED)
    run(store, date(2025, 1, 31))
    assert [line[2:] for line in lines(store)] == [
        (JAN, TRIED, nets[0]),
        (TRIED, date(2025, 2, 15), nets[1]),
    ]


def test_a_plan_change_in_a_paid_trial_acts_at_its_end(store: Store) -> None:
    sub = paid_trial(store)
    run(store, JAN)
    with pytest.raises(BillingError, match="illegal_transition"):
        subscriptions.change_plan(
            store, at(date(2025, 1, 5)), subscription_id=sub, plan_id="better", trial_days=30
        )
    changed = subscriptions.change_plan(store, at(date(2025, 1, 5)), subscription_id=sub, plan_id="better")
    assert [(one.effective_start, one.plan_id, one.phase) for one in changed.main_item.versions] == [
        (JAN, "try", "paid_trial"),
        (TRIED, "better", "regular"),
    ]
    run(store, date(2025, 1, 31))
    assert [line[:3] for line in lines(store)] == [
        ("try.1.fee", "charge", JAN),
        ("better.1.fee", "charge", TRIED),
    ]


@pytest.mark.parametrize("asked_on", [JAN, date(2025, 1, 5), date(2025, 1, 20)])
@pytest.mark.parametrize("when", [JAN, date(2025, 1, 10), date(2025, 1, 14), TRIED])
def test_a_plan_change_dated_inside_a_paid_trial_acts_at_its_end(
    store: Store, asked_on: date, when: date
) -> None:
    sub = paid_trial(store)
    run(store, JAN)
    changed = subscriptions.change_plan(store, at(asked_on), subscription_id=sub, plan_id="better", when=when)
    assert [(one.effective_start, one.plan_id, one.phase) for one in changed.main_item.versions] == [
        (JAN, "try", "paid_trial"),
        (TRIED, "better", "regular"),
    ]
    run(store, date(2025, 1, 31))
    assert [line[1:] for line in lines(store)] == [
        ("charge", JAN, TRIED, 100),
        ("charge", TRIED, date(2025, 2, 15), 3100),
    ]


def test_a_plan_change_in_a_paid_trial_that_ends_with_its_subscription_is_refused(store: Store) -> None:
    sub = paid_trial(store)
    subscriptions.cancel(store, at(JAN), subscription_id=sub, when="period_end")
    for when in (None, date(2025, 1, 10)):
        with pytest.raises(BillingError, match="illegal_transition"):
            subscriptions.change_plan(
                store, at(date(2025, 1, 5)), subscription_id=sub, plan_id="better", when=when
            )


@pytest.mark.parametrize("pauses", [[(5, 6)], [(5, 6), (8, 10)]])
def test_a_plan_change_in_a_paid_trial_that_was_paused_acts_at_its_end(
    store: Store, pauses: list[tuple[int, int]]
) -> None:
    sub = paid_trial(store)
    sell(store, "big", fee("62"))
    run(store, JAN)
    for first, last in pauses:
        named = {"from_on": date(2025, 1, first), "until": date(2025, 1, last)}
        subscriptions.pause(store, at(date(2025, 1, 3)), subscription_id=sub, **named)
    changed = subscriptions.change_plan(store, at(date(2025, 1, 4)), subscription_id=sub, plan_id="big")
    phases = {(one.plan_id, one.phase) for one in changed.main_item.versions}
    assert phases == {("try", "paid_trial"), ("big", "regular")}
    run(store, date(2025, 1, 20))
    of_big = [line[1:] for line in lines(store) if line[0].startswith("big")]
    assert of_big == [("charge", TRIED, date(2025, 2, 15), 6200)]
    assert parked(store) == {}


def test_a_paid_trial_given_up_costs_nothing_more(store: Store) -> None:
    sub = paid_trial(store)
    run(store, JAN)
    assert subscriptions.cancel(store, at(date(2025, 1, 5)), subscription_id=sub).ends_on == TRIED
    run(store, FEB)
    assert [line[4] for line in lines(store)] == [100]
    assert notes(store) == []


def test_a_plan_for_a_trial_needs_the_days_of_one(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    join(store, "anna")
    with pytest.raises(BillingError, match="illegal_plan"):
        take(store, JAN, "basic", trial_plan_id="basic")


def test_whoever_comes_back_after_a_paid_trial_pays_the_plan_itself(store: Store) -> None:
    sub = paid_trial(store)
    run(store, JAN)
    subscriptions.cancel(store, at(date(2025, 1, 5)), subscription_id=sub)
    run(store, FEB)
    back = subscriptions.reactivate(store, at(FEB), subscription_id=sub)
    assert [(one.plan_id, one.phase) for one in back.main_item.versions] == [("basic", "regular")]
    run(store, FEB)
    assert lines(store)[1:] == [("basic.1.fee", "charge", FEB, MAR, 3100)]


def test_whoever_comes_back_after_a_paid_trial_gets_the_plan_chosen_in_it(store: Store) -> None:
    sub = paid_trial(store)
    subscriptions.change_plan(store, at(date(2025, 1, 3)), subscription_id=sub, plan_id="better")
    subscriptions.cancel(store, at(date(2025, 1, 5)), subscription_id=sub, when="now")
    back = subscriptions.reactivate(store, at(date(2025, 1, 8)), subscription_id=sub)
    assert [one.plan_id for one in back.main_item.versions] == ["better"]


@pytest.mark.parametrize("when", ["period_end", None])
def test_fewer_seats_in_a_paid_trial_wait_for_its_end_at_most(store: Store, when: str | None) -> None:
    """The trial's plan is monthly, its periods counted from 1 January: its first boundary is 1 February."""
    open_shop(store, **({} if when else {"seat_decrease": "period_end"}))
    for plan_id, price in (("try", "1"), ("seats", "31")):
        sell(store, plan_id, [Part("seat", "seat", price, "per_unit")])
    join(store, "anna")
    sub = take(store, JAN, "seats", trial_days=14, trial_plan_id="try", quantity=3)
    changed = subscriptions.change_quantity(
        store,
        at(date(2025, 1, 5)),
        subscription_id=sub,
        quantity=1,
        when=when,
    )
    assert [(one.effective_start, one.quantity_mantissa) for one in changed.main_item.versions] == [
        (JAN, 3),
        (TRIED, 1),
    ]
    run(store, TRIED)
    assert [line[1:] for line in lines(store) if line[0].startswith("seats")] == [
        ("charge", TRIED, date(2025, 2, 15), 3100)
    ]


def test_fewer_seats_in_a_long_paid_trial_wait_for_its_next_period(store: Store) -> None:
    open_shop(store)
    for plan_id, price in (("try", "1"), ("seats", "31")):
        sell(store, plan_id, [Part("seat", "seat", price, "per_unit")])
    join(store, "anna")
    sub = take(store, JAN, "seats", trial_days=45, trial_plan_id="try", quantity=3)
    changed = subscriptions.change_quantity(
        store, at(date(2025, 1, 5)), subscription_id=sub, quantity=1, when="period_end"
    )
    found = [(one.effective_start, one.plan_id, one.quantity_mantissa) for one in changed.main_item.versions]
    assert found == [(JAN, "try", 3), (FEB, "try", 1), (date(2025, 2, 15), "seats", 1)]
