"""Discounts of an item are part of its terms: shares and amounts, for a time or a number of periods."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
from shop import (
    OPENED,
    Part,
    at,
    fee,
    item_of,
    join,
    lines,
    notes,
    open_shop,
    parked,
    run,
    sell,
    take,
    use,
)
from sqlalchemy import select, update

from billing.core.money import BillingError, currency_exponent, post
from billing.service import catalog, subscriptions
from billing.service.discounts import create_discount
from billing.service.policies import set_policy
from billing.service.ramps import Phase, agree_ramp
from billing.store import tables
from billing.store.store import Store

APRIL = date(2025, 4, 1)
FEE, SEATS = Part("fee", "fee", "100.00"), Part("seats", "seat", "100.00", "per_unit")


def shop(store: Store, parts: Sequence[Part], *, currency: str = "EUR", **discounts: dict[str, Any]) -> Store:
    """A plan of these parts, and discounts by their ids."""
    open_shop(store, tax_rate_ppm=0)
    sell(store, "plan", parts, currency=currency)
    join(store, "anna", currency=currency)
    for discount_id, about in discounts.items():
        named = {"currency": currency} | about if "amount" in about else about
        create_discount(store, OPENED, discount_id=discount_id, name=discount_id, **named)
    return store


def by_component(store: Store) -> dict[str, int]:
    """Net of each component, credits deducted."""
    found: dict[str, int] = {}
    for name, net in lines(store, "component_id", "net_minor"):
        found[name] = found.get(name, 0) + net
    asked = select(tables.line_items.c.component_id, tables.credit_note_lines.c.net_minor).join(
        tables.line_items, tables.line_items.c.line_id == tables.credit_note_lines.c.line_id
    )
    for row in store.rows(asked):
        found[row["component_id"]] -= row["net_minor"]
    return dict(sorted(found.items()))


def look_again(store: Store, on: date) -> Any:
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))
    return run(store, on, 22)


def test_an_amount_is_shared_before_proration_so_half_a_period_credits_half_of_each_share(
    store: Store,
) -> None:
    shop(store, [FEE, SEATS], ninety={"amount": "90.00"})
    new = take(store, APRIL, "plan", quantity=2, discount_ids=["ninety"])
    run(store, APRIL)
    assert by_component(store) == {"plan.1.fee": 7_000, "plan.1.seats": 14_000}
    half = date(2025, 4, 16)
    subscriptions.cancel(store, at(half), subscription_id=new, when="now")
    run(store, half)
    assert sorted(net for _, _, net, _ in notes(store)) == [3_500, 7_000]
    assert parked(store) == {}
    assert look_again(store, half).lines == 0


def test_more_seats_share_the_amount_anew_from_their_day_on(store: Store) -> None:
    shop(store, [FEE, SEATS], ninety={"amount": "90.00"})
    new = take(store, APRIL, "plan", quantity=2, discount_ids=["ninety"])
    run(store, APRIL)
    half = date(2025, 4, 16)
    subscriptions.change_quantity(store, at(half), subscription_id=new, quantity=4, when="now")
    run(store, half)
    # 90 on 100 + 200 is 30 + 60; on 100 + 400 it is 18 + 72. Half a month of each.
    assert by_component(store) == {"plan.1.fee": (7_000 + 8_200) // 2, "plan.1.seats": (14_000 + 32_800) // 2}
    assert look_again(store, half).lines == 0


FOUR = [Part(name, "fee", price) for name, price in (("a", "100"), ("b", "50"), ("c", "30"), ("d", "20"))]
TWO = [Part("a", "fee", "100.00"), Part("b", "fee", "200.00")]


@pytest.mark.parametrize(
    ("parts", "discounts", "nets"),
    [
        ([FEE], {"tenth": {"discount_ppm": 100_000}, "fifty": {"amount": "50.00"}}, [4_000]),
        ([FEE], {"fifty": {"amount": "50.00"}, "tenth": {"discount_ppm": 100_000}}, [4_000]),
        ([Part("a", "fee", "10.00"), Part("b", "fee", "20.00")], {"forty": {"amount": "40.00"}}, [0, 0]),
        (FOUR, {"ten": {"amount": "10.00"}}, [9_500, 4_750, 2_850, 1_900]),
        (TWO, {"ten": {"amount": "9.00"}, "five": {"amount": "6.00"}}, [9_500, 19_000]),
    ],
)
def test_shares_act_before_amounts_and_nothing_falls_below_zero(
    store: Store, parts: list[Part], discounts: dict[str, Any], nets: list[int]
) -> None:
    shop(store, parts, **discounts)
    take(store, APRIL, "plan", discount_ids=list(discounts))
    run(store, APRIL)
    assert parked(store) == {}
    assert list(by_component(store).values()) == nets
    assert look_again(store, APRIL).lines == 0


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("monthly", [True, False])
def test_a_discount_that_counts_its_uses_reaches_that_many_periods(
    store: Store, times: int, monthly: bool
) -> None:
    shop(store, fee("100.00"), promo={"discount_ppm": 250_000, "times": times})
    take(store, date(2025, 1, 31), "plan", discount_ids=["promo"])
    days = [date(2025, 2, 1), date(2025, 2, 28), date(2025, 3, 31), date(2025, 4, 30), date(2025, 5, 31)]
    for on in days if monthly else days[-1:]:
        run(store, on)
    assert [net for *_, net in lines(store)] == [7_500] * times + [10_000] * (5 - times)
    uses = store.rows(select(tables.discount_uses).order_by(tables.discount_uses.c.line_id))
    assert [(row["discount_id"], row["amount_minor"]) for row in uses] == [("promo", 2_500)] * times
    assert look_again(store, days[-1]).lines == 0


def test_a_discount_valid_later_counts_from_its_first_period(store: Store) -> None:
    shop(store, fee("100.00"), promo={"amount": "40.00", "times": 2, "valid_start": date(2025, 2, 15)})
    take(store, date(2025, 1, 1), "plan", discount_ids=["promo"])
    run(store, date(2025, 6, 1))
    # January and February began before it was valid.
    assert [net for *_, net in lines(store)] == [10_000, 10_000, 6_000, 6_000, 10_000, 10_000]


@pytest.mark.parametrize(("until", "taken"), [(None, [1_000, 2_700]), (date(2025, 1, 16), [500, 1_350])])
def test_each_use_keeps_what_its_own_discount_took(
    store: Store, until: date | None, taken: list[int]
) -> None:
    # 10 % of 100.00 and 27.00, of [1 January, 31 January) in thirtieths: whole, or half of each.
    open_shop(store, tax_rate_ppm=0, day_count="fixed_30")
    sell(store, "plan", fee("100.00"), in_advance=False)
    join(store, "anna")
    for name, about in (
        ("tenth", {"discount_ppm": 100_000}),
        ("amount", {"amount": "27.00", "currency": "EUR"}),
    ):
        create_discount(store, OPENED, discount_id=name, name=name, times=5, **about)
    new = take(store, date(2025, 1, 1), "plan", discount_ids=["tenth", "amount"])
    if until is not None:
        subscriptions.cancel(store, at(until), subscription_id=new, when="now")
    run(store, date(2025, 2, 1))
    uses = {row["discount_id"]: row["amount_minor"] for row in store.rows(select(tables.discount_uses))}
    assert uses == dict(zip(("tenth", "amount"), taken, strict=True))


@pytest.mark.parametrize(("times", "nets"), [(1, [10_000] * 4), (3, [5_000, 5_000, 10_000, 10_000])])
def test_uses_are_counted_over_a_change_of_interval(store: Store, times: int, nets: list[int]) -> None:
    shop(store, fee("100.00"), half={"discount_ppm": 500_000, "times": times})
    sell(store, "year", fee("1200.00"), interval="P1Y")
    new = take(store, date(2025, 1, 1), "year", discount_ids=["half"])
    run(store, date(2025, 1, 1))
    change = date(2025, 2, 1)
    subscriptions.change_plan(store, at(change), subscription_id=new, plan_id="plan", when="now")
    for month in range(2, 6):
        run(store, date(2025, month, 1))
    assert [net for *_, net in lines(store)] == [60_000, *nets]
    back = post(120_000 * 334, 365) - post(60_000 * 334, 365)
    assert [net for _, _, net, _ in notes(store)] == [back]
    assert len(store.rows(select(tables.discount_uses))) == times
    assert look_again(store, date(2025, 5, 1)).lines == 0


def test_a_paid_trial_uses_a_discount(store: Store) -> None:
    shop(store, fee("100.00"), half={"discount_ppm": 500_000, "times": 1})
    sell(store, "try", fee("10.00"))
    take(store, date(2025, 1, 1), "plan", trial_days=31, trial_plan_id="try", discount_ids=["half"])
    for month in range(1, 4):
        run(store, date(2025, month, 1))
    assert [net for *_, net in lines(store)] == [500, 10_000, 10_000]
    assert len(store.rows(select(tables.discount_uses))) == 1


def test_a_trial_without_pay_uses_no_discount(store: Store) -> None:
    shop(store, [Part("calls", "usage", "1.00", "per_unit")], half={"discount_ppm": 500_000, "times": 1})
    new = take(store, date(2025, 1, 1), "plan", trial_days=31, discount_ids=["half"])
    for on in (date(2025, 2, 5), date(2025, 3, 5)):
        use(store, on, item_of(store, new), on, 10, str(on))
    run(store, date(2025, 4, 1))
    assert [net for *_, net in lines(store)] == [500, 1_000]


def test_a_discount_of_a_period_that_began_before_it_was_valid_waits_for_the_next(store: Store) -> None:
    shop(store, fee("100.00"), half={"discount_ppm": 500_000, "times": 1, "valid_start": date(2025, 4, 10)})
    new = take(store, APRIL, "plan")
    run(store, APRIL)
    phases = [Phase(date(2025, 4, 16), discount_ids=["half"])]
    agree_ramp(store, at(date(2025, 4, 5)), subscription_id=new, phases=phases)
    for on in (date(2025, 4, 16), date(2025, 5, 1), date(2025, 6, 1)):
        run(store, on)
    assert [net for *_, net in lines(store)] == [10_000, 5_000, 10_000]
    assert notes(store) == []
    assert look_again(store, date(2025, 6, 1)).lines == 0


def test_a_discount_reaches_the_periods_that_begin_while_it_is_valid(store: Store) -> None:
    about = {"discount_ppm": 500_000, "valid_start": date(2025, 2, 1), "valid_end": date(2025, 4, 1)}
    shop(store, fee("100.00"), spring=about)
    take(store, date(2025, 1, 1), "plan", discount_ids=["spring"])
    for month in range(1, 6):
        run(store, date(2025, month, 1))
    assert [net for *_, net in lines(store)] == [10_000, 5_000, 5_000, 10_000, 10_000]
    assert look_again(store, date(2025, 5, 1)).lines == 0


def test_a_stub_begins_with_its_first_day(store: Store) -> None:
    shop(store, fee("310.00"), spring={"discount_ppm": 500_000, "valid_start": date(2025, 1, 10)})
    take(store, date(2025, 1, 16), "plan", anchor_on=date(2025, 1, 1), discount_ids=["spring"])
    run(store, date(2025, 1, 16))
    assert [net for *_, net in lines(store)] == [8_000]


@pytest.mark.parametrize("daily", [True, False])
def test_a_period_resumed_halfway_began_with_its_boundary_whatever_is_settled(
    store: Store, daily: bool
) -> None:
    about = {"discount_ppm": 500_000, "valid_start": date(2025, 1, 1), "valid_end": date(2025, 4, 10)}
    shop(store, fee("100.00"), spring=about)
    sell(store, "weekly", fee("7.00"), interval="P1W")
    new = take(store, date(2025, 2, 1), "plan", discount_ids=["spring"])
    take(store, date(2025, 2, 1), "weekly")
    acts = {date(2025, 3, 20): subscriptions.pause, date(2025, 4, 15): subscriptions.resume}
    # The week that begins on 12 April is billed while March is settled and nothing of April is owed.
    for on in sorted([date(2025, 2, 1), date(2025, 3, 1), *acts, date(2025, 4, 12)]):
        if on in acts:
            acts[on](store, at(on), subscription_id=new)
        if daily:
            run(store, on)
    run(store, date(2025, 4, 30))
    # All of February, 19 of 31 days of March and 16 of 30 of April, each half off, and 13 weeks.
    nets = [post(10_000 * days, of) - post(5_000 * days, of) for days, of in ((28, 28), (19, 31), (16, 30))]
    assert by_component(store) == {"plan.1.fee": sum(nets), "weekly.1.fee": 13 * 700}
    assert look_again(store, date(2025, 4, 30)).lines == 0


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
def test_shares_of_an_amount_are_whole_minor_units_and_add_up(store: Store, currency: str) -> None:
    parts = [Part(name, "fee", "11") for name in ("a", "b", "c")]
    shop(store, parts, currency=currency, ten={"amount": "10"})
    new = take(store, APRIL, "plan", discount_ids=["ten"])
    run(store, APRIL)
    minor = 10 ** currency_exponent(currency)
    third, rest = divmod(10 * minor, 3)
    wholes = [11 * minor - third - (place < rest) for place in range(3)]
    assert list(by_component(store).values()) == wholes
    assert sum(wholes) == 23 * minor
    subscriptions.cancel(store, at(date(2025, 4, 11)), subscription_id=new, when="now")
    run(store, date(2025, 4, 11))
    # A line is gross less discount, each posted: 20 of 30 days of both.
    gross = Fraction(11 * minor * 20, 30)
    credits = []
    for whole in wholes:
        off = Fraction((11 * minor - whole) * 20, 30)
        credits.append(post(gross.numerator, gross.denominator) - post(off.numerator, off.denominator))
    assert sorted(net for _, _, net, _ in notes(store)) == sorted(credits)


def test_an_amount_is_off_the_price_of_a_bundle(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    catalog.create_plan(store, OPENED, plan_id="suite", name="Suite", product_id="goods")
    covered = [("mail", 500_000), ("disk", 300_000), ("chat", 200_000)]
    parts = [catalog.NewComponent("suite", "fee")] + [
        catalog.NewComponent(name, "fee", bundle="suite", bundle_share_ppm=share) for name, share in covered
    ]
    catalog.publish_plan_version(store, OPENED, plan_id="suite", interval="P1M", components=parts)
    catalog.create_price_list(
        store,
        OPENED,
        list_id="suite",
        name="Suite",
        currency="EUR",
        valid_start=date(2000, 1, 1),
        prices=[catalog.NewPrice("suite.1.suite", "flat", "90.00")],
    )
    join(store, "anna")
    create_discount(store, OPENED, discount_id="ten", name="Ten", amount="10.00", currency="EUR")
    take(store, APRIL, "suite", discount_ids=["ten"])
    run(store, APRIL)
    assert parked(store) == {}
    assert sorted(by_component(store).values()) == [1_600, 2_400, 4_000]


def test_usage_bears_shares_but_no_amount(store: Store) -> None:
    parts = [FEE, Part("calls", "usage", "1.00", "per_unit")]
    shop(store, parts, tenth={"discount_ppm": 100_000}, forty={"amount": "40.00"})
    new = take(store, APRIL, "plan", discount_ids=["tenth", "forty"])
    use(store, date(2025, 4, 5), item_of(store, new), date(2025, 4, 5), 10, "one")
    run(store, date(2025, 4, 30))
    run(store, date(2025, 5, 1))
    assert by_component(store) == {"plan.1.calls": 900, "plan.1.fee": 2 * 5_000}


def test_an_amount_of_another_currency_and_a_discount_of_documents_set_the_customer_aside(
    store: Store,
) -> None:
    shop(store, fee("10.00"), dollars={"amount": "1.00", "currency": "USD"})
    take(store, APRIL, "plan", discount_ids=["dollars"])
    create_discount(store, OPENED, discount_id="paper", name="Paper", discount_ppm=1000, scope="document")
    join(store, "bert")
    take(store, APRIL, "plan", "bert", discount_ids=["paper"])
    run(store, APRIL)
    assert parked(store) == {"anna": "unsupported_discount", "bert": "unsupported_discount"}


@pytest.mark.parametrize("discount_id", ["a,b", "a:1", "a|b"])
def test_an_id_that_terms_could_not_name_is_refused(store: Store, discount_id: str) -> None:
    with pytest.raises(BillingError, match="unknown_setting"):
        create_discount(store, OPENED, discount_id=discount_id, name="x", discount_ppm=1)


@pytest.mark.parametrize(
    ("currency", "price", "cent", "whole"),
    [
        ("USD", "100.005", "0.01", 10_000),
        ("JPY", "100.5", "1", 100),
        ("KWD", "100.0005", "0.001", 100_000),
    ],
)
def test_another_rounding_shares_an_amount_anew_from_the_next_period_on(
    store: Store, currency: str, price: str, cent: str, whole: int
) -> None:
    parts = [Part("a", "fee", "100"), Part("b", "fee", price)]
    shop(store, parts, currency=currency, cent={"amount": cent})
    take(store, date(2025, 4, 15), "plan", discount_ids=["cent"])
    run(store, date(2025, 4, 15))
    # Of 100.00 and 100.01 the larger has the cent.
    assert by_component(store) == {"plan.1.a": whole, "plan.1.b": whole}
    set_policy(store, at(date(2025, 4, 20)), valid_from=date(2025, 5, 1), settings={"rounding": "down"})
    assert look_again(store, date(2025, 5, 1)).lines == 0
    run(store, date(2025, 5, 15))
    # Of 100.00 and 100.00 the first has it.
    assert by_component(store) == {"plan.1.a": 2 * whole - 1, "plan.1.b": 2 * whole}
    assert look_again(store, date(2025, 5, 20)).lines == 0
