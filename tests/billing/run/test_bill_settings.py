"""Settings that move a cut, tax and its base, invoices of nothing: amounts a bookkeeper can check."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from examples import seeds
from shop import (
    Part,
    at,
    fee,
    item_of,
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
    use,
)
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.service import catalog, contracts, subscriptions
from billing.service.discounts import create_discount
from billing.service.policies import set_policy
from billing.store import tables
from billing.store.store import Store

JAN, FEB, MAR = date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)
SEAT = [Part("seat", "seat", "10", "per_unit")]


def nets(store: Store) -> list[tuple[str, date, date, int]]:
    """Entry, service and net of all lines, notes included as credits."""
    back = [("credit", start, end, -net) for start, end, net, _ in notes(store)]
    return sorted(line[1:] for line in lines(store)) + sorted(back)


def documents(store: Store) -> list[tuple[date, str, int, int]]:
    rows = store.rows(select(tables.invoices).order_by(tables.invoices.c.invoice_id))
    return [(row["issued_on"], row["state"], row["net_minor"], row["tax_minor"]) for row in rows]


def shop(store: Store, currency: str = "EUR", price: str = "31", **settings: str | int) -> Store:
    open_shop(store, **settings)
    sell(store, "basic", fee(price), currency=currency)
    join(store, "anna", currency=currency)
    return store


# change_day and cancel_day.


@pytest.mark.parametrize(
    ("currency", "price", "unit"), [("USD", "31", 100), ("JPY", "310", 10), ("KWD", "31", 1000)]
)
def test_a_used_day_of_cancellation_is_kept_by_the_seller(
    store: Store, currency: str, price: str, unit: int
) -> None:
    shop(store, currency, price, cancel_day="used")
    sub = take(store, JAN, "basic")
    run(store, JAN)
    subscriptions.cancel(store, at(date(2025, 1, 16)), subscription_id=sub, when="now")
    run(store, date(2025, 1, 16))
    assert [note[:3] for note in notes(store)] == [(date(2025, 1, 17), FEB, 15 * unit)]
    assert run(store, date(2025, 3, 1)).lines == 0


def test_a_used_day_in_arrears_is_billed_on_the_day_of_the_cancellation(store: Store) -> None:
    open_shop(store, cancel_day="used")
    sell(store, "after", fee("31"), in_advance=False)
    join(store, "anna")
    sub = take(store, date(2022, 12, 1), "after")
    subscriptions.cancel(store, at(date(2022, 12, 18)), subscription_id=sub, when="now")
    run(store, date(2022, 12, 18))
    assert nets(store) == [("charge", date(2022, 12, 1), date(2022, 12, 19), 1800)]
    assert [one[0] for one in documents(store)] == [date(2022, 12, 18)]


def test_a_cancellation_at_the_period_end_has_no_used_day(store: Store) -> None:
    shop(store, cancel_day="used", change_day="used")
    sub = take(store, JAN, "basic")
    run(store, JAN)
    subscriptions.cancel(store, at(date(2025, 1, 16)), subscription_id=sub)
    run(store, MAR)
    assert nets(store) == [("charge", JAN, FEB, 3100)]


def test_canceled_on_the_day_it_began_one_day_is_used(store: Store) -> None:
    shop(store, price="30", cancel_day="used", tax_base="exact_net")
    sub = take(store, date(2025, 9, 18), "basic")
    subscriptions.cancel(store, at(date(2025, 9, 18)), subscription_id=sub, when="now")
    run(store, date(2025, 9, 18))
    assert nets(store) == [("charge", date(2025, 9, 18), date(2025, 9, 19), 100)]


def test_the_day_of_a_change_is_used_by_the_terms_before_it(store: Store) -> None:
    shop(store, change_day="used")
    sell(store, "better", fee("62"))
    sub = take(store, JAN, "basic")
    run(store, JAN)
    subscriptions.change_plan(store, at(date(2025, 1, 16)), subscription_id=sub, plan_id="better")
    run(store, date(2025, 1, 16))
    assert nets(store) == [
        ("charge", JAN, FEB, 3100),
        ("charge", date(2025, 1, 17), FEB, 3000),
        ("credit", date(2025, 1, 17), FEB, -1500),
    ]
    assert [one[0] for one in documents(store)] == [JAN, date(2025, 1, 16)]
    assert run(store, date(2025, 1, 31)).lines == 0


@pytest.mark.parametrize("on", [date(2025, 1, 31), FEB])
def test_a_change_whose_cut_is_a_boundary_prorates_nothing(store: Store, on: date) -> None:
    shop(store, change_day="used")
    sell(store, "better", fee("62"))
    sub = take(store, JAN, "basic")
    run(store, JAN)
    subscriptions.change_plan(store, at(on), subscription_id=sub, plan_id="better")
    run(store, on)
    run(store, FEB)
    assert nets(store) == [("charge", JAN, FEB, 3100), ("charge", FEB, MAR, 6200)]
    assert [one[0] for one in documents(store)] == [JAN, FEB]


def test_a_pause_keeps_its_first_day_paid_and_the_resume_bills_from_its_day(store: Store) -> None:
    shop(store, change_day="used")
    sub = take(store, JAN, "basic")
    run(store, JAN)
    subscriptions.pause(store, at(date(2025, 1, 11)), subscription_id=sub, until=date(2025, 1, 21))
    run(store, date(2025, 1, 31))
    assert [note[:3] for note in notes(store)] == [(date(2025, 1, 12), date(2025, 1, 21), 900)]


def test_usage_of_the_used_day_belongs_to_the_terms_that_end(store: Store) -> None:
    open_shop(store, cancel_day="used")
    sell(store, "metered", [Part("use", "usage", "1", "per_unit")], in_advance=False)
    join(store, "anna")
    sub = take(store, JAN, "metered")
    for day, value in ((16, 4), (17, 8)):
        use(store, date(2025, 1, day), item_of(store, sub), date(2025, 1, day), value, str(day))
    subscriptions.cancel(store, at(date(2025, 1, 16)), subscription_id=sub, when="now")
    run(store, date(2025, 1, 17))
    assert nets(store) == [("charge", JAN, date(2025, 1, 17), 400)]


# The money of a cancellation.


@pytest.mark.parametrize("setting", ["credit", "none"])
@pytest.mark.parametrize(("money", "back"), [(None, None), ("credit", 1500), ("none", 0)])
def test_an_act_decides_what_becomes_of_paid_time_before_the_policy(
    store: Store, setting: str, money: str | None, back: int | None
) -> None:
    shop(store, on_cancel=setting)
    sub = take(store, JAN, "basic")
    run(store, JAN)
    subscriptions.cancel(store, at(date(2025, 1, 17)), subscription_id=sub, when="now", money=money)
    for on in (date(2025, 1, 17), FEB):
        run(store, on)
    wanted = back if back is not None else {"credit": 1500, "none": 0}[setting]
    assert sum(note[2] for note in notes(store)) == wanted


def test_an_unknown_word_for_the_money_is_refused_and_undoing_forgets_it(store: Store) -> None:
    shop(store)
    sub = take(store, JAN, "basic")
    with pytest.raises(BillingError, match="unknown_setting"):
        subscriptions.cancel(store, at(JAN), subscription_id=sub, money="gift")
    canceled = subscriptions.cancel(store, at(JAN), subscription_id=sub, money="none")
    assert (canceled.ends_on, canceled.on_cancel) == (FEB, "none")
    assert subscriptions.undo_cancel(store, at(JAN), subscription_id=sub).on_cancel is None


# term_end.


@pytest.mark.parametrize(("setting", "net"), [("stub", 1400), ("full", 3100)])
@pytest.mark.parametrize("in_advance", [True, False])
def test_a_term_that_ends_in_a_period_is_owed_in_part_or_whole(
    store: Store, setting: str, net: int, in_advance: bool
) -> None:
    open_shop(store, term_end=setting)
    sell(store, "basic", fee("31"), in_advance=in_advance)
    join(store, "anna")
    contract = subscriptions.NewContract(term="P2W", auto_renew=False)
    take(store, JAN, "basic", contract=contract)
    contracts.renew_due(store, at(date(2025, 1, 15)))
    for on in (JAN, date(2025, 1, 15), FEB, MAR):
        run(store, on)
    end = date(2025, 1, 15) if setting == "stub" else FEB
    assert nets(store) == [("charge", JAN, end, net)]
    assert [one[0] for one in documents(store)] == [JAN if in_advance else date(2025, 1, 15)]


# seat_decrease high_water.


def test_fewer_seats_give_nothing_back_and_more_are_free_up_to_the_level_paid(store: Store) -> None:
    open_shop(store, seat_decrease="high_water")
    sell(store, "team", SEAT)
    join(store, "anna")
    sub = take(store, JAN, "team", quantity=3)
    run(store, JAN)
    for day, seats in ((6, 2), (11, 3), (16, 4), (21, 1)):
        subscriptions.change_quantity(store, at(date(2025, 1, day)), subscription_id=sub, quantity=seats)
        run(store, date(2025, 1, day))
    # 16 of 31 days: 30.00 back, 40.00 for the same days.
    assert sum(net for *_, net in nets(store)) == 3000 - round(3000 * 16 / 31) + round(4000 * 16 / 31)
    before = len(nets(store))
    run(store, FEB)
    assert nets(store)[-1] != before
    assert ("charge", FEB, MAR, 1000) in nets(store)


@pytest.mark.parametrize("often", [True, False])
def test_the_level_paid_is_the_same_billed_daily_or_once(store: Store, often: bool) -> None:
    open_shop(store, seat_decrease="high_water", credit_rounding="kept_time")
    sell(store, "team", SEAT)
    join(store, "anna")
    sub = take(store, JAN, "team", quantity=5)
    changes = {date(2025, 1, 5): 2, date(2025, 1, 12): "7.5", date(2025, 1, 20): 1, date(2025, 2, 3): 6}
    on = JAN
    while on < MAR:
        if on in changes:
            subscriptions.change_quantity(store, at(on), subscription_id=sub, quantity=changes[on])
        if often:
            run(store, on)
        on += timedelta(days=1)
    run(store, date(2025, 2, 28))
    january = round(Fraction(5000 * 11, 31)) + 7500 - round(Fraction(7500 * 11, 31))
    february = round(Fraction(1000 * 2, 28)) + 6000 - round(Fraction(6000 * 2, 28))
    by_month = {JAN: 0, FEB: 0}
    for _, start, _, net in nets(store):
        by_month[start.replace(day=1)] += net
    assert by_month == {JAN: january, FEB: february}


# tax_base, tax_point.


def test_net_and_tax_are_rounded_apart(store: Store) -> None:
    open_shop(store, tax_rate_ppm=250_000, tax_base="exact_net", cancel_day="used")
    sell(store, "basic", fee("160"))
    join(store, "anna")
    sub = take(store, date(2025, 9, 18), "basic")
    run(store, date(2025, 9, 18))
    subscriptions.cancel(store, at(date(2025, 9, 18), 16), subscription_id=sub, when="now")
    run(store, date(2025, 9, 18), 21)
    assert notes(store) == [(date(2025, 9, 19), date(2025, 10, 18), 15467, 3867)]


@pytest.mark.parametrize("rounding", ["removed_time", "kept_time"])
@pytest.mark.parametrize(("currency", "price"), [("USD", "10.01"), ("JPY", "1001"), ("KWD", "1.001")])
def test_taxes_of_parts_add_up_and_the_last_credit_leaves_nothing(
    store: Store, rounding: str, currency: str, price: str
) -> None:
    shop(store, currency, price, tax_base="exact_net", credit_rounding=rounding)
    sub = take(store, JAN, "basic")
    run(store, JAN)
    for day in (20, 10, 5):
        subscriptions.pause(
            store,
            at(date(2025, 1, 2), day),
            subscription_id=sub,
            from_on=date(2025, 1, day),
            until=date(2025, 1, {20: 31, 10: 20, 5: 10}[day]),
        )
        run(store, date(2025, 1, 31), day)
    removed = notes(store)
    line = store.row(select(tables.line_items))
    assert line
    for place in range(len(removed)):
        days = sum((end - start).days for start, end, _, _ in removed[: place + 1])
        target = Fraction(1001 * (days if rounding == "removed_time" else 31 - days) * 19, 31 * 100)
        exact = half_up(target)
        taxed = sum(tax for *_, tax in removed[: place + 1])
        assert taxed == (exact if rounding == "removed_time" else line["tax_minor"] - exact)
    assert line["tax_minor"] == half_up(Fraction(1001 * 19, 100))


def half_up(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def test_exact_tax_of_usage_and_of_a_discount(store: Store) -> None:
    open_shop(store, tax_rate_ppm=200_000, tax_base="exact_net")
    parts = [Part("use", "usage", "0.006", "per_unit")]
    sell(store, "metered", parts, in_advance=False)
    sell(store, "basic", fee("9.99"))
    create_discount(store, at(JAN), discount_id="third", name="Third", discount_ppm=333_333)
    join(store, "anna")
    sub = take(store, JAN, "metered")
    use(store, JAN, item_of(store, sub), JAN, 1, "one")
    take(store, JAN, "basic", discount_ids=["third"])
    run(store, FEB)
    rows = store.frame(select(tables.line_items)).filter(pl.col("service_start") == JAN)
    taxes = dict(rows.select("component_id", pl.struct("net_minor", "tax_minor")).rows())
    # 0.006: net 0.01, tax of 0.0012 is 0.00. 9.99 less 3.32999667: net 6.66, tax 1.33200066.
    assert taxes["metered.1.use"] == {"net_minor": 1, "tax_minor": 0}
    assert taxes["basic.1.fee"] == {"net_minor": 666, "tax_minor": 133}


@pytest.mark.parametrize(("setting", "taxes"), [("issue", [19, 20]), ("service_end", [20, 20])])
def test_the_rate_is_that_of_the_tax_point(store: Store, setting: str, taxes: list[int]) -> None:
    open_shop(store, tax_point=setting)
    catalog.add_tax_rate(store, at(JAN), country="DE", tax_rate_ppm=200_000, valid_from=date(2025, 1, 31))
    sell(store, "basic", fee("1"))
    join(store, "anna")
    take(store, JAN, "basic")
    run(store, JAN)
    run(store, FEB)
    assert [tax for *_, tax in documents(store)] == taxes


# zero_invoice.


@pytest.mark.parametrize(("setting", "issued"), [("issue", 3), ("skip", 1)])
def test_an_invoice_of_nothing_is_issued_or_not(store: Store, setting: str, issued: int) -> None:
    open_shop(store, zero_invoice=setting)
    sell(store, "free", fee("0"))
    sell(store, "basic", fee("31"))
    join(store, "anna")
    sub = take(store, JAN, "free")
    counts = [run(store, on).invoices for on in (JAN, FEB)]
    subscriptions.change_plan(store, at(MAR), subscription_id=sub, plan_id="basic")
    counts.append(run(store, MAR).invoices)
    assert counts == ([1, 1, 1] if setting == "issue" else [0, 0, 1])
    numbered = store.frame(select(tables.invoices)).drop_nulls("number")
    assert sorted(numbered["number"]) == [f"INV-2025-{place:06}" for place in range(1, issued + 1)]
    messages = store.frame(select(tables.outbox)).filter(pl.col("topic") == "invoice.issued")
    assert messages.height == issued
    assert run(store, MAR, 21).lines == 0


# What holds for every life holds under these settings too.

MOVED: list[dict[str, str]] = [
    {"change_day": "used", "cancel_day": "used"},
    {"change_day": "used", "tax_base": "exact_net", "zero_invoice": "skip"},
    {"cancel_day": "used", "seat_decrease": "high_water", "tax_point": "service_end"},
]


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("settings", MOVED)
@pytest.mark.parametrize("seed", seeds(1, 5))
def test_however_often_it_is_billed_the_same_is_owed(seed: int, settings: dict[str, str]) -> None:
    acts = life(seed)
    sums = []
    for runs in ("each", "daily", "once"):
        store = live(acts, runs, credit_rounding="kept_time", **settings)
        store.execute(update(tables.customers).values(next_bill_on=acts[0].on, unsettled_from=None))
        again = run(store, last_day(acts), 21)
        assert (again.customers, again.lines, again.invoices, again.credit_notes) == (1, 0, 0, 0)
        sums.append(net_by_period(store))
        store.close()
    assert sums[0] == sums[1] == sums[2]


def net_by_period(store: Store) -> dict[tuple[Any, ...], int]:
    """What is billed less what was taken back, by component and reference period."""
    rows = store.frame(select(tables.line_items))
    key = ["component_id", "kind", "reference_start"]
    origin = rows.select("line_id", *key)
    noted = store.frame(select(tables.credit_note_lines)).drop("kind").join(origin, on="line_id")
    both = pl.concat([rows.select(*key, "net_minor"), noted.select(*key, -pl.col("net_minor"))])
    sums = both.group_by(key).agg(pl.col("net_minor").sum()).filter(pl.col("net_minor") != 0)
    return {tuple(row[:3]): row[3] for row in sums.iter_rows()}


def test_every_setting_but_those_not_built_yet_is_honoured(store: Store) -> None:
    settings: dict[str, Any] = {
        "change_day": "used",
        "cancel_day": "used",
        "tax_base": "exact_net",
        "tax_point": "service_end",
        "term_end": "full",
        "seat_decrease": "high_water",
        "zero_invoice": "skip",
    }
    shop(store, **settings)
    take(store, JAN, "basic")
    assert run(store, JAN).lines == 1
    assert parked(store) == {}


# A new version of a policy.

CHANGED = date(2025, 1, 20)
NEWS: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({}, {"seat_decrease": "high_water"}, "fewer"),
    ({"seat_decrease": "high_water"}, {"seat_decrease": "credit"}, "fewer"),
    ({}, {"change_day": "used"}, "plan"),
    ({"change_day": "used"}, {"change_day": "new_terms"}, "plan"),
    ({}, {"cancel_day": "used"}, "cancel"),
    ({"cancel_day": "used"}, {"cancel_day": "unused", "change_day": "used"}, "cancel"),
    ({}, {"suspension_billing": "continue"}, "pause"),
    ({"suspension_billing": "continue"}, {"suspension_billing": "stop"}, "pause"),
]


def sold_team(store: Store, **settings: str) -> str:
    open_shop(store, tax_rate_ppm=0, **settings)
    sell(store, "team", [Part("fee", "fee", "31"), Part("seat", "seat", "31", "per_unit")])
    sell(store, "big", fee("62"))
    join(store, "anna")
    sub = take(store, date(2025, 1, 15), "team", quantity=3)
    run(store, date(2025, 1, 15))
    return sub


@pytest.mark.parametrize(("first", "then", "act"), NEWS)
def test_a_new_version_of_a_policy_bills_no_running_period_anew(
    store: Store, first: dict[str, str], then: dict[str, str], act: str
) -> None:
    sub = sold_team(store, **first)
    named: dict[str, Any] = {"subscription_id": sub}
    if act == "fewer":
        subscriptions.change_quantity(store, at(CHANGED), quantity=1, when="now", **named)
    elif act == "plan":
        subscriptions.change_plan(store, at(CHANGED), plan_id="big", when="now", **named)
    elif act == "cancel":
        subscriptions.cancel(store, at(CHANGED), when="now", **named)
    else:
        subscriptions.pause(store, at(CHANGED), cause="overdue", until=date(2025, 2, 10), **named)
    run(store, CHANGED)
    before = nets(store)
    set_policy(store, at(date(2025, 1, 25)), valid_from=FEB, settings=then)
    store.execute(update(tables.customers).values(next_bill_on=FEB, unsettled_from=None))
    assert run(store, FEB).lines == 0
    assert nets(store) == before
    assert parked(store) == {}


def test_a_new_version_of_a_policy_holds_from_the_first_period_that_begins_with_it(store: Store) -> None:
    """Three of four seats go in the period from 15 March, and nothing comes back."""
    sub = sold_team(store)
    subscriptions.change_quantity(store, at(CHANGED), subscription_id=sub, quantity=4, when="now")
    run(store, CHANGED)
    set_policy(store, at(date(2025, 1, 25)), valid_from=FEB, settings={"seat_decrease": "high_water"})
    run(store, date(2025, 3, 15))
    before = len(nets(store))
    subscriptions.change_quantity(store, at(date(2025, 3, 20)), subscription_id=sub, quantity=1, when="now")
    run(store, date(2025, 3, 20))
    assert len(nets(store)) == before
    # Four seats and a fee each month, but 26 of 31 days of the fourth in the first.
    assert sum(net for *_, net in nets(store)) == 3 * 5 * 3100 - 500
    store.execute(update(tables.customers).values(next_bill_on=FEB, unsettled_from=None))
    assert run(store, date(2025, 3, 21)).lines == 0
