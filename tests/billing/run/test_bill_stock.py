"""Goods are billed as their stock allows: what is allocated, what is short and what comes later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from shop import OPENED, at, fee, join, lines, notes, open_shop, run, sell, sell_alone, take
from soundness import assert_sound
from sqlalchemy import select

from billing.core.money import BillingError, Scaled
from billing.gateways.simulated_stock import SimulatedStock
from billing.gateways.stock import Want
from billing.jobs.allocate import AllocationSummary, allocate, holdings
from billing.service import catalog, subscriptions
from billing.service.catalog import NewPrice, NewTier
from billing.service.goods import create_sku
from billing.service.stock import (
    agree_to_substitutes,
    backorders,
    report_delivery,
    set_stock_rule,
    shortfalls,
)
from billing.service.subscriptions import NewContract
from billing.store import tables
from billing.store.store import Store, open_store

DAY = date(2025, 1, 1)
NEXT = date(2025, 2, 1)
FIVE = NewPrice("standing.1.paper", "per_unit", "5.00")


def shop(
    store: Store,
    price: NewPrice = FIVE,
    *,
    rule: str = "reserve_first",
    quantity: int | str = 100,
    in_advance: bool = True,
    **settings: Any,
) -> str:
    """Anna takes so many cases of paper a month from 1 January, under a contract with a stock rule. The id
    of her subscription."""
    open_shop(store, **settings)
    create_sku(store, OPENED, sku_id="paper", product_id="goods", name="Paper", base_unit="case")
    sell_alone(
        store,
        catalog.NewComponent("paper", "seat", sku_id="paper"),
        price,
        plan_id="standing",
        in_advance=in_advance,
    )
    join(store, "anna")
    return take(
        store, DAY, "standing", quantity=quantity, contract=NewContract(contract_id="c", stock_rule=rule)
    )


def order(store: Store, stock: SimulatedStock, on: date) -> AllocationSummary:
    return allocate(store, stock, at(on, 19), up_to=on)


def day(store: Store, stock: SimulatedStock, on: date) -> None:
    """What the company does each evening: ask the stock, then bill."""
    order(store, stock, on)
    run(store, on)


def billed(store: Store) -> list[tuple[str, int, int]]:
    """Entry, quantity and net of each line, in order."""
    return lines(store, "entry", "quantity_mantissa", "net_minor")


def became(store: Store) -> list[tuple[str, int, date]]:
    """What became of the orders, in order."""
    rows = store.frame(select(tables.stock_allocations)).sort("order_id", "position")
    return rows.select("kind", "quantity_mantissa", "allocated_on").rows()


def holding(*deliveries: tuple[int | str, date]) -> SimulatedStock:
    """A stock to which paper comes on some days."""
    stock = SimulatedStock()
    for quantity, on in deliveries:
        stock.plan("paper", quantity, on=on)
    return stock


def test_what_is_allocated_is_billed_and_the_backorder_when_it_comes(store: Store) -> None:
    shop(store)
    stock = holding((70, DAY), (30, date(2025, 1, 10)))
    for on in (DAY, date(2025, 1, 9), date(2025, 1, 10), date(2025, 1, 11)):
        day(store, stock, on)
    assert billed(store) == [("charge", 70, 35_000), ("charge", 30, 15_000)]
    assert became(store) == [("allocated", 70, DAY), ("allocated", 30, date(2025, 1, 10))]
    (first, second) = store.rows(select(tables.invoices).order_by(tables.invoices.c.number))
    assert (first["net_minor"], first["total_minor"]) == (35_000, 41_650)
    assert (second["net_minor"], second["issued_on"]) == (15_000, date(2025, 1, 10))
    kinds = lines(store, "kind", "service_start", "service_end", "description")
    assert set(kinds) == {("goods", DAY, NEXT, "Standing, paper")}


def test_a_second_run_of_the_same_day_asks_and_posts_nothing_new(store: Store) -> None:
    shop(store)
    stock = holding((70, DAY))
    assert order(store, stock, DAY) == AllocationSummary(ordered=1, asked=1, allocated=1, backordered=1)
    run(store, DAY)
    assert order(store, stock, DAY) == AllocationSummary(asked=1, backordered=1)
    assert run(store, DAY).run_id is None
    assert billed(store) == [("charge", 70, 35_000)]


def test_a_period_nobody_ordered_yet_waits_and_is_not_lost(store: Store) -> None:
    shop(store)
    for days in range(40):
        run(store, DAY + timedelta(days=days))
    assert billed(store) == []
    stock = holding((250, date(2025, 2, 10)))
    day(store, stock, date(2025, 2, 10))
    assert billed(store) == [("charge", 100, 50_000), ("charge", 100, 50_000)]
    assert [one for (one,) in lines(store, "service_start")] == [DAY, NEXT]


def test_tiered_goods_cost_in_parts_what_they_cost_at_once(store: Store) -> None:
    # 80 at 5.00 and 20 at 4.00 are 480.00; the first 70 are 350.00.
    tiers = (NewTier(80, "5.00"), NewTier(None, "4.00"))
    shop(store, NewPrice("standing.1.paper", "graduated", tiers=tiers))
    stock = holding((70, DAY), (30, date(2025, 1, 10)))
    day(store, stock, DAY)
    day(store, stock, date(2025, 1, 10))
    assert billed(store) == [("charge", 70, 35_000), ("charge", 30, 13_000)]


def test_a_volume_price_that_falls_with_the_rest_gives_back_what_the_first_part_cost_too_much(
    store: Store,
) -> None:
    # 50 at 5.00 are 250.00; all 100 at 2.00 are 200.00.
    tiers = (NewTier(60, "5.00"), NewTier(None, "2.00"))
    shop(store, NewPrice("standing.1.paper", "volume", tiers=tiers))
    stock = holding((50, DAY), (50, date(2025, 1, 10)))
    day(store, stock, DAY)
    day(store, stock, date(2025, 1, 10))
    assert billed(store) == [("charge", 50, 25_000)]
    assert notes(store) == [(DAY, NEXT, 5_000, 950)]


def test_what_has_not_come_when_the_period_ends_is_released(store: Store) -> None:
    shop(store)
    stock = holding((70, DAY))
    for on in (DAY, date(2025, 1, 31)):
        day(store, stock, on)
    assert became(store) == [("allocated", 70, DAY)]
    day(store, stock, NEXT)
    stock.plan("paper", 500, on=date(2025, 2, 2))
    day(store, stock, date(2025, 2, 2))
    rows = store.frame(select(tables.stock_allocations)).sort("order_id", "position")
    assert rows.select("kind", "quantity_mantissa", "reason").rows() == [
        ("allocated", 70, None),
        ("released", 30, "period_end"),
        ("allocated", 100, None),
    ]
    assert billed(store) == [("charge", 70, 35_000), ("charge", 100, 50_000)]


def test_in_arrears_what_came_during_the_period_is_billed_at_its_end(store: Store) -> None:
    shop(store, in_advance=False)
    stock = holding((70, DAY), (20, date(2025, 1, 10)))
    for on in (DAY, date(2025, 1, 10), date(2025, 1, 31)):
        day(store, stock, on)
    assert billed(store) == []
    day(store, stock, NEXT)
    assert billed(store) == [("charge", 90, 45_000)]


def test_standing_orders_and_plans_without_goods_are_billed_whatever_the_stock(store: Store) -> None:
    shop(store, rule="standing")
    sell(store, "basic", fee("10"))
    take(store, DAY, "basic", contract=NewContract(stock_rule="reserve_first"))
    day(store, holding((0, DAY)), DAY)
    assert sorted(net for (net,) in lines(store, "net_minor")) == [1_000, 50_000]
    assert store.frame(select(tables.stock_orders)).is_empty()


# Changes of what was ordered.


def test_goods_that_were_delivered_are_not_prorated(store: Store) -> None:
    sub = shop(store)
    stock = holding((100, DAY))
    day(store, stock, DAY)
    middle = date(2025, 1, 15)
    subscriptions.change_quantity(store, at(middle), subscription_id=sub, quantity=40)
    day(store, stock, middle)
    subscriptions.cancel(store, at(date(2025, 1, 20)), subscription_id=sub, when="now")
    day(store, stock, date(2025, 1, 20))
    day(store, stock, NEXT)
    assert billed(store) == [("charge", 100, 50_000)]
    assert notes(store) == []


def test_a_backorder_ends_with_the_service(store: Store) -> None:
    sub = shop(store)
    stock = holding((70, DAY), (30, date(2025, 1, 21)))
    day(store, stock, DAY)
    subscriptions.cancel(store, at(date(2025, 1, 20)), subscription_id=sub, when="now")
    for on in (date(2025, 1, 20), date(2025, 1, 21)):
        day(store, stock, on)
    assert became(store) == [("allocated", 70, DAY), ("released", 30, date(2025, 1, 20))]
    assert billed(store) == [("charge", 70, 35_000)]


def test_an_order_follows_a_change_of_its_own_day(store: Store) -> None:
    sub = shop(store)
    stock = holding((1_000, DAY))
    order(store, stock, DAY)
    subscriptions.change_quantity(store, at(DAY, 19), subscription_id=sub, quantity=120)
    order(store, stock, DAY)
    subscriptions.change_quantity(store, at(DAY, 19), subscription_id=sub, quantity="90.5")
    day(store, stock, DAY)
    assert billed(store) == [("charge", 905, 45_250)]
    assert stock.available("paper", DAY) == (9_095 * 10**11, 12)


def test_what_is_canceled_before_it_left_goes_back_to_the_stock(store: Store) -> None:
    sub = shop(store)
    stock = holding((100, DAY))
    day(store, stock, DAY)
    subscriptions.cancel(store, at(date(2025, 1, 3)), subscription_id=sub, when=DAY)
    day(store, stock, date(2025, 1, 3))
    assert stock.available("paper", DAY) == (100 * 10**12, 12)
    assert notes(store) == [(DAY, NEXT, 50_000, 9_500)]


def test_what_is_canceled_after_it_left_stays_billed(store: Store) -> None:
    sub = shop(store)
    stock = holding((100, DAY))
    day(store, stock, DAY)
    (key,) = store.rows(select(tables.stock_orders.c.order_id))
    stock.ship(key["order_id"])
    subscriptions.cancel(store, at(date(2025, 1, 3)), subscription_id=sub, when=DAY)
    day(store, stock, date(2025, 1, 3))
    assert billed(store) == [("charge", 100, 50_000)]
    assert notes(store) == []


def test_a_paused_period_is_not_ordered(store: Store) -> None:
    sub = shop(store)
    stock = holding((1_000, DAY))
    day(store, stock, DAY)
    subscriptions.pause(store, at(date(2025, 1, 20)), subscription_id=sub, until=date(2025, 3, 1))
    for on in (date(2025, 1, 20), NEXT, date(2025, 3, 1)):
        day(store, stock, on)
    assert [one for (one,) in lines(store, "service_start")] == [DAY, date(2025, 3, 1)]


def test_a_start_in_the_past_orders_the_periods_that_passed(store: Store) -> None:
    shop(store)
    stock = holding((250, DAY))
    on = date(2025, 3, 5)
    day(store, stock, on)
    assert [(quantity, net) for _, quantity, net in billed(store)] == [
        (100, 50_000),
        (100, 50_000),
        (50, 25_000),
    ]
    assert became(store)[-1] == ("allocated", 50, on)


def test_a_backdated_price_changes_what_was_allocated(store: Store) -> None:
    sub = shop(store)
    stock = holding((70, DAY))
    day(store, stock, DAY)
    catalog.create_price_list(
        store,
        at(date(2025, 1, 2)),
        list_id="better",
        name="Better",
        currency="EUR",
        level="contract",
        owner_id="c",
        valid_start=DAY,
        prices=[NewPrice("standing.1.paper", "per_unit", "4.00")],
    )
    subscriptions.change_plan(store, at(date(2025, 1, 2)), subscription_id=sub, plan_id="standing", when=DAY)
    day(store, stock, date(2025, 1, 2))
    assert notes(store) == [(DAY, NEXT, 7_000, 1_330)]


# Rules that change.


def test_a_rule_holds_for_deliveries_from_its_day_on(store: Store) -> None:
    shop(store, rule="standing")
    stock = holding((70, NEXT))
    day(store, stock, DAY)
    set_stock_rule(store, at(date(2025, 1, 10)), contract_id="c", rule="reserve_first")
    day(store, stock, date(2025, 1, 10))
    day(store, stock, NEXT)
    set_stock_rule(store, at(date(2025, 2, 10)), contract_id="c", rule="standing")
    day(store, stock, date(2025, 3, 1))
    assert lines(store, "kind", "service_start", "net_minor") == [
        ("recurring", DAY, 50_000),
        ("goods", NEXT, 35_000),
        ("recurring", date(2025, 3, 1), 50_000),
    ]


def test_a_rule_that_is_unknown_and_a_contract_that_is_not_there_are_refused(store: Store) -> None:
    shop(store)
    for contract_id, rule, code in (("c", "hope", "unknown_setting"), ("d", "standing", "unknown_contract")):
        with pytest.raises(BillingError, match=code):
            set_stock_rule(store, at(DAY), contract_id=contract_id, rule=rule)
    with pytest.raises(BillingError, match="before_horizon"):
        set_stock_rule(store, at(DAY), contract_id="c", rule="standing", valid_from=date(2020, 1, 1))
    with pytest.raises(BillingError, match="unknown_setting"):
        take(store, DAY, "standing", contract=NewContract(stock_rule="hope"))


# Substitutes.


def with_successor(store: Store, price: str | None, *, agreed: bool = True) -> SimulatedStock:
    """Paper that runs short of 70 of 100, with a successor of which 20 are there; at a price of its own or
    none. Anna agreed to it."""
    shop_with_successor(store, price, agreed=agreed)
    stock = holding((70, DAY), (10, date(2025, 1, 10)))
    stock.plan("paper2", 20, on=DAY)
    return stock


def shop_with_successor(store: Store, price: str | None = "4.00", *, agreed: bool = True) -> None:
    """Anna takes 100 cases of paper a month; she agreed to the successor."""
    open_shop(store)
    create_sku(store, OPENED, sku_id="paper2", product_id="goods", name="Paper 2", base_unit="case")
    create_sku(
        store,
        OPENED,
        sku_id="paper",
        product_id="goods",
        name="Paper",
        base_unit="case",
        successor_sku_id="paper2",
    )
    sell_alone(
        store,
        catalog.NewComponent("paper", "seat", sku_id="paper"),
        FIVE,
        plan_id="standing",
        in_advance=True,
    )
    if price is not None:
        new = catalog.NewComponent("paper", "seat", sku_id="paper2")
        sell_alone(store, new, NewPrice("new.1.paper", "per_unit", price), plan_id="new", in_advance=True)
    join(store, "anna")
    contract = NewContract(contract_id="c", stock_rule="substitute")
    take(store, DAY, "standing", quantity=100, contract=contract)
    if agreed:
        agree_to_substitutes(store, at(DAY), contract_id="c")


@pytest.mark.parametrize(
    ("price", "net_minor", "priced_as"),
    [("4.00", 8_000, "paper2"), ("6.00", 10_000, "paper"), (None, 10_000, "paper")],
)
def test_a_successor_is_billed_at_the_lower_of_both_prices(
    store: Store, price: str | None, net_minor: int, priced_as: str
) -> None:
    stock = with_successor(store, price)
    day(store, stock, DAY)
    assert billed(store) == [("charge", 70, 35_000), ("charge", 20, net_minor)]
    descriptions = [text for (text,) in lines(store, "description")]
    assert descriptions == ["Standing, paper", "Standing, paper: paper2 instead of paper"]
    told = json.loads(lines(store, "explanation")[1][0])
    assert told["instead_of"] == "paper"
    assert told["given"] == "paper2"
    assert told["priced_as"] == priced_as
    assert Fraction(told["whole_minor"]) == net_minor
    # What comes of the goods themselves later fills the rest.
    day(store, stock, date(2025, 1, 10))
    day(store, stock, date(2025, 1, 10))
    assert billed(store)[2:] == [("charge", 10, 5_000)]
    assert stock.available("paper2", NEXT) == (0, 12)


def test_without_consent_a_successor_is_not_given(store: Store) -> None:
    stock = with_successor(store, "4.00", agreed=False)
    day(store, stock, DAY)
    assert billed(store) == [("charge", 70, 35_000)]
    agree_to_substitutes(store, at(date(2025, 1, 2)), contract_id="c")
    day(store, stock, date(2025, 1, 2))
    assert billed(store)[1:] == [("charge", 20, 8_000)]
    with pytest.raises(BillingError, match="illegal_transition"):
        agree_to_substitutes(store, at(date(2025, 1, 3)), contract_id="c")


def test_successors_go_back_when_the_order_becomes_smaller(store: Store) -> None:
    stock = with_successor(store, "4.00")
    order(store, stock, DAY)
    (key,) = store.rows(select(tables.stock_orders.c.order_id))
    stock.ship(key["order_id"])
    (sub,) = store.rows(select(tables.subscriptions.c.subscription_id))
    subscriptions.change_quantity(store, at(DAY, 19), subscription_id=sub["subscription_id"], quantity=75)
    day(store, stock, DAY)
    assert billed(store) == [("charge", 70, 35_000), ("charge", 5, 2_000)]
    assert stock.available("paper2", DAY) == (15 * 10**12, 12)


@pytest.mark.parametrize("lost_on", [(1,), (1, 2), (1, 2, 3)])
def test_a_successor_held_by_an_answer_that_got_lost_goes_back_when_the_goods_come(
    store: Store, lost_on: tuple[int, ...]
) -> None:
    shop_with_successor(store)
    stock = holding((70, DAY), (30, date(2025, 1, 2)))
    stock.plan("paper2", 30)
    for number in (1, 2, 3, 4):
        stock.lose_answers(1 if number in lost_on else 0, after=1)
        day(store, stock, date(2025, 1, number))
        assert is_closed(store) == (number > max(lost_on))
    assert billed(store) == [("charge", 70, 35_000), ("charge", 30, 15_000)]
    assert stock.available("paper2", NEXT) == (30 * 10**12, 12)


# Shortfalls that are skipped, and deliveries that fall short.


def test_a_shortfall_is_skipped_and_never_billed(store: Store) -> None:
    shop(store, rule="skip_with_credit")
    stock = holding((70, DAY), (500, date(2025, 1, 10)))
    day(store, stock, DAY)
    day(store, stock, date(2025, 1, 10))
    assert became(store) == [("allocated", 70, DAY), ("skipped", 30, DAY)]
    assert billed(store) == [("charge", 70, 35_000)]


def test_what_was_paid_in_advance_and_not_delivered_is_credited(store: Store) -> None:
    # 500.00 were billed as a standing order; 70 of 100 are there: 150.00 come back.
    shop(store, rule="standing")
    stock = holding((70, DAY))
    day(store, stock, DAY)
    set_stock_rule(store, at(date(2025, 1, 2)), contract_id="c", rule="skip_with_credit", valid_from=DAY)
    run(store, date(2025, 1, 2))
    assert notes(store) == []
    day(store, stock, date(2025, 1, 3))
    assert billed(store) == [("charge", 100, 50_000)]
    assert notes(store) == [(DAY, NEXT, 15_000, 2_850)]
    (row,) = store.rows(select(tables.stock_orders.c.order_id))
    report_delivery(store, at(date(2025, 1, 4)), order_id=row["order_id"], delivered=60)
    day(store, stock, date(2025, 1, 4))
    assert notes(store)[1:] == [(DAY, NEXT, 5_000, 950)]
    assert_sound(store)


def test_a_short_delivery_is_credited_and_a_better_report_billed_again(store: Store) -> None:
    shop(store)
    stock = holding((100, DAY))
    day(store, stock, DAY)
    (row,) = store.rows(select(tables.stock_orders.c.order_id))
    report_delivery(store, at(date(2025, 1, 3)), order_id=row["order_id"], delivered=90)
    report_delivery(store, at(date(2025, 1, 3)), order_id=row["order_id"], delivered=90)
    day(store, stock, date(2025, 1, 3))
    assert notes(store) == [(DAY, NEXT, 5_000, 950)]
    report_delivery(store, at(date(2025, 1, 4)), order_id=row["order_id"], delivered=95)
    day(store, stock, date(2025, 1, 4))
    assert billed(store) == [("charge", 100, 50_000), ("charge", 5, 2_500)]


def test_wrong_reports_of_a_delivery_are_refused(store: Store) -> None:
    shop(store)
    day(store, holding((70, DAY)), DAY)
    (row,) = store.rows(select(tables.stock_orders.c.order_id))
    for delivered, sku_id, code in (
        (71, None, "over_delivery"),
        (1, "paper2", "over_delivery"),
        (-1, None, "negative_quantity"),
        ("0.5", None, "too_many_decimals"),
    ):
        with pytest.raises(BillingError, match=code):
            report_delivery(store, at(DAY), order_id=row["order_id"], delivered=delivered, sku_id=sku_id)
    with pytest.raises(BillingError, match="unknown_order"):
        report_delivery(store, at(DAY), order_id="none", delivered=1)


# Runs that break off, answers that get lost, two runs at once.


class Broken(SimulatedStock):
    """A stock that answers, and the line breaks before the answer is noted."""

    def allocate(self, wants: Sequence[Want], on: date) -> list[Scaled | None]:
        super().allocate(wants, on)
        raise ConnectionError("the line broke")


def test_a_crash_after_the_stock_answered_asks_again_with_the_same_key(store: Store) -> None:
    shop(store)
    stock = Broken()
    stock.plan("paper", 170, on=DAY)
    with pytest.raises(ConnectionError):
        order(store, stock, DAY)
    assert became(store) == []
    stock.__class__ = SimulatedStock
    day(store, stock, date(2025, 1, 2))
    assert billed(store) == [("charge", 100, 50_000)]
    assert stock.available("paper", DAY) == (70 * 10**12, 12)


def test_an_answer_that_got_lost_is_asked_for_again(store: Store) -> None:
    shop(store)
    stock = holding((100, DAY))
    stock.lose_answers(1)
    assert order(store, stock, DAY) == AllocationSummary(ordered=1, asked=1, unknown=1)
    run(store, DAY)
    assert billed(store) == []
    day(store, stock, date(2025, 1, 2))
    assert billed(store) == [("charge", 100, 50_000)]


def order_id(store: Store) -> str:
    """The one order there is."""
    (row,) = store.rows(select(tables.stock_orders.c.order_id))
    return str(row["order_id"])


def is_closed(store: Store) -> bool:
    (row,) = store.rows(select(tables.stock_orders.c.closed_on))
    return row["closed_on"] is not None


@pytest.mark.parametrize("less", [50, "49.5"])
def test_what_left_by_an_answer_that_got_lost_is_billed_though_less_is_wanted_now(
    store: Store, less: int | str
) -> None:
    sub = shop(store)
    stock = holding((100, DAY))
    stock.lose_answers(1)
    order(store, stock, DAY)
    stock.ship(order_id(store))
    second = date(2025, 1, 2)
    subscriptions.change_quantity(store, at(second), subscription_id=sub, quantity=less, when=DAY)
    day(store, stock, second)
    assert sum(net for (net,) in lines(store, "net_minor")) == 50_000
    assert is_closed(store)
    assert order(store, stock, date(2025, 1, 3)) == AllocationSummary()


class Wrong(SimulatedStock):
    """A stock that answers nonsense for the first key, and well for all others."""

    answer = Scaled(0, 0)

    def allocate(self, wants: Sequence[Want], on: date) -> list[Scaled | None]:
        return [self.answer, *super().allocate(wants[1:], on)]


@pytest.mark.parametrize(
    ("answer", "given"), [(Scaled(101, 0), "101"), (Scaled(-1, 0), "-1"), (Scaled(995, 1), "99.5")]
)
def test_an_answer_that_cannot_be_is_kept_and_stops_no_other(
    store: Store, answer: Scaled, given: str
) -> None:
    shop(store)
    stock = Wrong()
    stock.answer = answer
    assert order(store, stock, DAY) == AllocationSummary(ordered=1, asked=1, unknown=1)
    join(store, "bert")
    contract = NewContract(contract_id="d", stock_rule="reserve_first")
    take(store, DAY, "standing", "bert", quantity=10, contract=contract)
    for on in (DAY, date(2025, 1, 2)):
        day(store, stock, on)
    assert became(store) == [("allocated", 10, DAY)]
    assert billed(store) == [("charge", 10, 5_000)]
    (kept,) = store.rows(select(tables.rejected_inputs))
    assert (kept["source"], kept["code"]) == ("allocate", "bad_allocation")
    told = json.loads(kept["payload"])
    assert told == {"key": told["key"], "sku_id": "paper", "wanted": "100", "given": given}
    # It is asked for again, and a true answer counts.
    day(store, holding((100, DAY)), date(2025, 1, 3))
    assert billed(store) == [("charge", 10, 5_000), ("charge", 100, 50_000)]


# The stock is asked while nobody waits for it.


class Slow(SimulatedStock):
    """A stock that hears the next question only after something else happened."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)
    asked = 0

    def allocate(self, wants: Sequence[Want], on: date) -> list[Scaled | None]:
        self.asked += 1
        first, self.meanwhile = self.meanwhile, lambda: None
        first()
        return super().allocate(wants, on)


def test_no_transaction_is_open_while_the_stock_is_asked(store: Store) -> None:
    shop_with_successor(store)
    stock = Slow()
    stock.plan("paper", 70)
    stock.plan("paper2", 10)
    found: list[bool] = []
    for on in (DAY, date(2025, 1, 10)):
        stock.meanwhile = lambda: found.append(store.is_in_transaction)
        order(store, stock, on)
    assert found == [False, False]


def test_an_order_that_moved_while_the_stock_was_asked_is_asked_for_again(store: Store) -> None:
    sub = shop(store)
    stock = Slow()
    stock.plan("paper", 100)

    def reduce_and_order() -> None:
        subscriptions.change_quantity(store, at(DAY, 19), subscription_id=sub, quantity=50)
        assert order(store, stock, DAY).allocated == 1
        assert is_closed(store)

    stock.meanwhile = reduce_and_order
    assert order(store, stock, DAY) == AllocationSummary(ordered=1, asked=1, unknown=1)
    # The question for 100 came last, so the stock holds them; 50 are noted, and the rest goes back.
    assert stock.available("paper", DAY) == (0, 12)
    day(store, stock, date(2025, 1, 2))
    assert became(store) == [("allocated", 50, DAY)]
    assert stock.available("paper", DAY) == (50 * 10**12, 12)
    assert billed(store) == [("charge", 50, 25_000)]
    assert is_closed(store)


def test_what_another_run_noted_meanwhile_is_not_noted_twice(store: Store) -> None:
    shop(store)
    stock = Slow()
    stock.plan("paper", 70)
    stock.meanwhile = lambda: order(store, stock, DAY)
    order(store, stock, DAY)
    day(store, stock, DAY)
    assert became(store) == [("allocated", 70, DAY)]
    assert billed(store) == [("charge", 70, 35_000)]


_COLLIDES = """
CREATE SEQUENCE tries;
CREATE FUNCTION collide() RETURNS trigger AS $$
BEGIN
    IF nextval('tries') < 3 THEN RAISE EXCEPTION 'collided' USING ERRCODE = '40001'; END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER collide BEFORE INSERT ON stock_allocations FOR EACH ROW EXECUTE FUNCTION collide();
"""


def test_a_note_that_collides_with_another_transaction_is_written_again(two: tuple[Store, Store]) -> None:
    store, _ = two
    store._run(_COLLIDES)
    stock = Slow()
    stock.plan("paper", 70)
    assert order(store, stock, DAY).allocated == 1
    assert became(store) == [("allocated", 70, DAY)]
    assert stock.asked == 1


@pytest.fixture
def two(_postgres_database: str) -> Iterator[tuple[Store, Store]]:
    """Two connections to one shop on PostgreSQL."""
    with open_store(_postgres_database) as one, open_store(_postgres_database) as other:
        shop(one)
        yield one, other


def test_two_runs_at_once_order_once(two: tuple[Store, Store]) -> None:
    one, other = two
    with ThreadPoolExecutor() as pool:
        stock = holding((70, DAY))
        found = list(pool.map(lambda store: order(store, stock, DAY), (one, other)))
        assert sorted(summary.ordered for summary in found) == [0, 1]
        assert became(one) == [("allocated", 70, DAY)]
        list(pool.map(lambda store: run(store, DAY), (one, other)))
        assert billed(one) == [("charge", 70, 35_000)]


def test_what_is_still_to_come_and_what_was_given_up_is_listed(store: Store) -> None:
    shop(store)
    stock = holding(("69.5", DAY))
    day(store, stock, DAY)
    (row,) = backorders(store).rows(named=True)
    assert (row["customer_id"], row["ordered"], row["allocated"], row["open"]) == ("anna", "100", "69", "31")
    assert backorders(store, customer_id="bert").is_empty()
    day(store, stock, date(2025, 1, 31))
    day(store, stock, NEXT)
    assert shortfalls(store, customer_id="anna").select("kind", "quantity", "reason", "on").rows() == [
        ("released", "31", "period_end", NEXT)
    ]
    assert backorders(store)["due_on"].to_list() == [NEXT]


def test_a_simulated_stock_that_forgot_begins_with_what_it_held(store: Store) -> None:
    stock = with_successor(store, "4.00")
    day(store, stock, DAY)
    again = SimulatedStock(held=holdings(store))
    again.plan("paper", 70, on=DAY)
    again.plan("paper2", 25, on=DAY)
    day(store, again, date(2025, 1, 2))
    assert billed(store)[2:] == [("charge", 5, 2_000)]
