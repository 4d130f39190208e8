"""Ends dated back and add-ons that move to another plan: what was billed is put right by the next run."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from shop import OPENED, Part, at, fee, item_of, join, lines, notes, open_shop, run, sell, take, use
from sqlalchemy import select, update

from billing.core.money import BillingError
from billing.service import catalog, subscriptions
from billing.service.previews import preview_change
from billing.store import tables
from billing.store.store import Store

JAN, FEB, MAR, APR = (date(2025, month, 1) for month in (1, 2, 3, 4))
PRICES = [("USD", "31", 3100), ("JPY", "3100", 3100), ("KWD", "3.1", 3100)]


def billed_to_march(store: Store, currency: str = "EUR", price: str = "31", **settings: str | int) -> str:
    open_shop(store, **settings)
    sell(store, "basic", fee(price), currency=currency)
    join(store, "anna", currency=currency)
    sub = take(store, JAN, "basic")
    for on in (JAN, FEB, MAR):
        run(store, on)
    return sub


def backs(store: Store) -> list[tuple[date, date, int]]:
    return sorted(note[:3] for note in notes(store))


@pytest.mark.parametrize(("currency", "price", "whole"), PRICES)
def test_an_end_dated_back_credits_all_time_billed_beyond_it(
    store: Store, currency: str, price: str, whole: int
) -> None:
    sub = billed_to_march(store, currency, price)
    ended = subscriptions.cancel(
        store, at(date(2025, 3, 10)), subscription_id=sub, when=date(2025, 1, 16), money="credit"
    )
    assert (ended.status, ended.ends_on) == ("canceled", date(2025, 1, 16))
    assert ended.cancel_requested_on == date(2025, 3, 10)
    run(store, date(2025, 3, 10))
    # 16 of 31 days of January, and the two months after it.
    assert backs(store) == [(date(2025, 1, 16), FEB, 1600), (FEB, MAR, whole), (MAR, APR, whole)]
    store.execute(update(tables.customers).values(next_bill_on=JAN, unsettled_from=None))
    assert run(store, APR).credit_notes == 0


def test_an_end_dated_back_before_the_start_leaves_nothing_owed(store: Store) -> None:
    sub = billed_to_march(store)
    when = JAN - timedelta(days=40)
    ended = subscriptions.cancel(store, at(date(2025, 3, 10)), subscription_id=sub, when=when)
    assert ended.ends_on == JAN
    run(store, date(2025, 3, 10))
    assert sum(net for _, _, net in backs(store)) == 3 * 3100


def test_an_end_dated_back_moves_the_usage_to_the_shorter_period(store: Store) -> None:
    open_shop(store)
    sell(store, "metered", [Part("use", "usage", "1", "per_unit")], in_advance=False)
    join(store, "anna")
    sub = take(store, JAN, "metered")
    for day, value in ((10, 4), (20, 8)):
        on = date(2025, 1, day)
        use(store, on, item_of(store, sub), on, value, str(day))
    run(store, FEB)
    assert [line[4] for line in lines(store)] == [1200]
    subscriptions.cancel(store, at(date(2025, 2, 10)), subscription_id=sub, when=date(2025, 1, 16))
    run(store, date(2025, 2, 10))
    owed = sum(line[4] for line in lines(store)) - sum(net for _, _, net in backs(store))
    assert owed == 400
    assert run(store, MAR).lines == 0


def test_no_end_is_dated_back_beyond_the_horizon(store: Store) -> None:
    sub = billed_to_march(store, horizon_months=1)
    with pytest.raises(BillingError, match="before_horizon"):
        subscriptions.cancel(store, at(date(2025, 3, 10)), subscription_id=sub, when=date(2025, 2, 9))
    subscriptions.cancel(store, at(date(2025, 3, 10)), subscription_id=sub, when=date(2025, 2, 10))


def test_an_end_dated_back_is_previewed_as_it_is_billed(store: Store) -> None:
    sub = billed_to_march(store)
    when = at(date(2025, 3, 10))

    def act(store: Store, now: datetime) -> object:
        return subscriptions.cancel(store, now, subscription_id=sub, when=date(2025, 2, 15))

    shown = preview_change(store, when, act, customer_id="anna")
    assert shown.lines["net_minor"].sum() == -(1550 + 3100)
    act(store, when)
    run(store, date(2025, 3, 10))
    assert sum(net for _, _, net in backs(store)) == 1550 + 3100


# Add-ons.


def with_add_ons(store: Store) -> None:
    open_shop(store)
    sell(store, "basic", fee("31"))
    for plan_id, price in (("small-extra", "15.50"), ("large-extra", "62")):
        catalog.create_plan(store, OPENED, plan_id=plan_id, name=plan_id, product_id="goods", is_add_on=True)
        catalog.publish_plan_version(
            store, OPENED, plan_id=plan_id, interval="P1M", components=[catalog.NewComponent("fee", "fee")]
        )
        catalog.create_price_list(
            store,
            OPENED,
            list_id=plan_id,
            name=plan_id,
            currency="EUR",
            valid_start=JAN,
            prices=[catalog.NewPrice(f"{plan_id}.1.fee", "flat", price)],
        )
    join(store, "anna")


def add_on_of(store: Store) -> str:
    row = store.row(select(tables.items.c.item_id).where(tables.items.c.is_add_on))
    assert row is not None
    return str(row["item_id"])


def test_an_add_on_moves_to_another_plan_like_the_plan_itself(store: Store) -> None:
    with_add_ons(store)
    take(store, JAN, "basic", add_ons=[subscriptions.AddOn("small-extra")])
    run(store, JAN)
    day = date(2025, 1, 17)
    subscriptions.change_plan(store, at(day), item_id=add_on_of(store), plan_id="large-extra")
    run(store, day)
    # 15 of 31 days: 7.50 back, 30.00 charged; the plan itself is left alone.
    assert sorted(line[1:] for line in lines(store)[2:]) == [
        ("charge", day, FEB, 3000),
        ("credit", day, FEB, -750),
    ]
    subscriptions.change_plan(store, at(day, 10), item_id=add_on_of(store), plan_id="small-extra")
    run(store, date(2025, 1, 31))
    assert len(lines(store)) == 4
    run(store, FEB)
    assert sorted(line[4] for line in lines(store)[4:]) == [1550, 3100]


def test_an_add_on_takes_no_plan_and_the_plan_no_add_on(store: Store) -> None:
    with_add_ons(store)
    sub = take(store, JAN, "basic", add_ons=[subscriptions.AddOn("small-extra")])
    with pytest.raises(BillingError, match="illegal_plan"):
        subscriptions.change_plan(store, at(JAN), item_id=add_on_of(store), plan_id="basic")
    with pytest.raises(BillingError, match="illegal_plan"):
        subscriptions.change_plan(store, at(JAN), subscription_id=sub, plan_id="large-extra")
    with pytest.raises(BillingError, match="unknown_item"):
        subscriptions.change_plan(store, at(JAN), plan_id="large-extra")


def test_an_add_on_that_leaves_changes_no_more_on_the_day_it_is_gone(store: Store) -> None:
    with_add_ons(store)
    take(store, JAN, "basic", add_ons=[subscriptions.AddOn("large-extra")])
    item_id, day = add_on_of(store), date(2025, 1, 17)
    subscriptions.remove_item(store, at(day), item_id=item_id)
    before = store.rows(select(tables.item_versions))
    for when in ("period_end", FEB, MAR, None):
        with pytest.raises(BillingError, match="illegal_transition"):
            subscriptions.change_plan(
                store,
                at(day),
                item_id=item_id,
                plan_id="small-extra",
                when=when,
            )
    with pytest.raises(BillingError, match="illegal_transition"):
        subscriptions.change_quantity(store, at(day), item_id=item_id, quantity=2, when="period_end")
    assert store.rows(select(tables.item_versions)) == before
    changed = subscriptions.change_plan(
        store, at(day), item_id=item_id, plan_id="small-extra", when=date(2025, 1, 31)
    )
    ends = [(one.plan_id, one.effective_end) for one in changed.item(item_id).versions]
    assert ends == [("large-extra", date(2025, 1, 31)), ("small-extra", FEB)]
