"""A change that has not acted yet is taken back, and costs nothing."""

from __future__ import annotations

from datetime import date

import pytest
from shop import Part, at, fee, item_of, join, lines, open_shop, run, sell, take
from sqlalchemy import select

from billing.core.money import BillingError
from billing.service import catalog, subscriptions
from billing.service.undo import undo_change
from billing.store import tables
from billing.store.store import Store

JAN, FEB, MAR = date(2025, 1, 1), date(2025, 2, 1), date(2025, 3, 1)
NOW = at(date(2025, 1, 10))


def shop(store: Store) -> str:
    open_shop(store)
    sell(store, "small", [Part("fee", "fee", "10"), Part("seat", "seat", "5", "per_unit")])
    sell(store, "large", [Part("fee", "fee", "20"), Part("seat", "seat", "7", "per_unit")])
    join(store, "anna")
    sub = take(store, JAN, "large", quantity=2)
    run(store, JAN)
    return sub


def february(store: Store) -> list[int]:
    for on in (date(2025, 1, 20), FEB):
        run(store, on)
    assert [line for line in lines(store) if line[1] == "credit"] == []
    return sorted(net for _, _, start, _, net in lines(store) if start == FEB)


def test_a_waiting_downgrade_is_taken_back(store: Store) -> None:
    sub = shop(store)
    subscriptions.change_plan(store, NOW, subscription_id=sub, plan_id="small")
    undone = undo_change(store, NOW, subscription_id=sub)
    assert [version.plan_id for version in undone.main_item.versions] == ["large"]
    assert february(store) == [1400, 2000]


def test_what_else_was_said_of_later_days_stays(store: Store) -> None:
    sub = shop(store)
    subscriptions.change_plan(store, NOW, subscription_id=sub, plan_id="small", when="period_end")
    subscriptions.change_quantity(store, NOW, subscription_id=sub, quantity=3, when=date(2025, 2, 15))
    undo_change(store, NOW, subscription_id=sub, on=FEB)
    # Half of February two seats at the large plan's 7.00, the other half three.
    assert february(store) == [700, 2000]
    run(store, date(2025, 2, 15))
    later = sorted(net for _, _, start, _, net in lines(store) if start == date(2025, 2, 15))
    assert later == [1050]


def test_a_pause_to_come_and_seats_to_go_are_taken_back(store: Store) -> None:
    sub = shop(store)
    subscriptions.pause(store, NOW, subscription_id=sub, from_on=date(2025, 1, 15), until=date(2025, 2, 10))
    subscriptions.change_quantity(store, NOW, subscription_id=sub, quantity=1, when="period_end")
    undone = undo_change(store, NOW, subscription_id=sub)
    assert len(undone.main_item.versions) == 1
    assert february(store) == [1400, 2000]


def test_an_add_on_to_come_does_not_and_one_to_go_stays(store: Store) -> None:
    sub = shop(store)
    catalog.create_plan(store, NOW, plan_id="extra", name="Extra", product_id="goods", is_add_on=True)
    component = catalog.NewComponent("fee", "fee")
    catalog.publish_plan_version(store, NOW, plan_id="extra", interval="P1M", components=[component])
    catalog.create_price_list(
        store,
        NOW,
        list_id="extras",
        name="Extras",
        currency="EUR",
        valid_start=JAN,
        prices=[catalog.NewPrice("extra.1.fee", "flat", "3")],
    )
    later = subscriptions.add_item(store, NOW, subscription_id=sub, plan_id="extra", starts_on=FEB)
    undo_change(store, NOW, subscription_id=sub, item_id=later.item_id)
    assert february(store) == [1400, 2000]
    there = subscriptions.add_item(store, at(FEB), subscription_id=sub, plan_id="extra", starts_on=FEB)
    subscriptions.remove_item(store, at(FEB), item_id=there.item_id)
    undo_change(store, at(FEB), subscription_id=sub, item_id=there.item_id)
    run(store, MAR)
    assert sorted(net for _, _, start, _, net in lines(store) if start == MAR) == [300, 1400, 2000]
    assert item_of(store, sub) == there.item_id


def test_a_trial_still_ends_on_its_day(store: Store) -> None:
    open_shop(store)
    sell(store, "small", fee("10"))
    sell(store, "large", fee("20"))
    join(store, "anna")
    sub = take(store, JAN, "small", trial_days=14)
    subscriptions.change_plan(store, NOW, subscription_id=sub, plan_id="large", when=FEB)
    undo_change(store, NOW, subscription_id=sub)
    run(store, FEB)
    assert [line[1:] for line in lines(store)] == [("charge", date(2025, 1, 15), date(2025, 2, 15), 1000)]


@pytest.mark.parametrize("on", [None, FEB, date(2025, 1, 5)])
def test_what_has_taken_effect_or_was_never_said_is_refused(store: Store, on: date | None) -> None:
    sub = shop(store)
    subscriptions.change_quantity(store, at(date(2025, 1, 5)), subscription_id=sub, quantity=4)
    before = store.rows(select(tables.item_versions))
    with pytest.raises(BillingError, match="illegal_transition"):
        undo_change(store, NOW, subscription_id=sub, on=on)
    assert store.rows(select(tables.item_versions)) == before
