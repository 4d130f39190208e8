"""Whatever comes to a stock and whenever: nothing is lost or sold twice, and what came is what is billed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import Any, NamedTuple

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from shop import OPENED, at, join, new_store, open_shop, run, sell_alone, take
from soundness import assert_sound
from sqlalchemy import select

from billing.core.money import BillingError
from billing.gateways.simulated_stock import SimulatedStock
from billing.jobs.allocate import allocate
from billing.service import catalog, subscriptions
from billing.service.catalog import NewPrice, NewTier
from billing.service.goods import create_sku
from billing.service.stock import agree_to_substitutes, report_delivery
from billing.service.subscriptions import NewContract
from billing.store import tables
from billing.store.store import Store

DAY = date(2025, 1, 1)
LAST = DAY + timedelta(days=72)
RULES = ("reserve_first", "substitute", "skip_with_credit")
pytestmark = pytest.mark.usefixtures("each_database")


class Act(NamedTuple):
    """What a customer does on a day: `cancel`, or a new quantity, from then or from an earlier day on."""

    day: int
    customer: int
    quantity: int | None
    days_back: int


class World(NamedTuple):
    """Customers of a rule, what comes to the stock (SKU, quantity, day), the days on which it is asked, those
    on which two of its answers are lost and how many come before these (for orders first, then for their
    successors), what customers do, and what is reported short."""

    rule: str
    quantities: list[int]
    deliveries: list[tuple[str, int, int]]
    days: list[int]
    lost: dict[int, int]
    acts: list[Act]
    short: list[tuple[int, int]]


days = st.integers(0, 70)
customers = st.integers(0, 2)
worlds = st.builds(
    World,
    rule=st.sampled_from(RULES),
    quantities=st.lists(st.integers(1, 100), min_size=1, max_size=3),
    deliveries=st.lists(
        st.tuples(st.sampled_from(["paper", "paper2"]), st.integers(0, 150), days), max_size=6
    ),
    days=st.lists(days, min_size=1, max_size=7, unique=True).map(sorted),
    lost=st.dictionaries(days, st.integers(0, 5), max_size=3),
    acts=st.lists(
        st.builds(Act, days, customers, st.none() | st.integers(1, 120), st.sampled_from([0, 0, 10])),
        max_size=3,
    ).map(sorted),
    short=st.lists(st.tuples(days, st.integers(1, 40)), max_size=2),
)


def cost(quantity: int) -> int:
    """5.00 each up to 80, then 4.00, in cents."""
    return 500 * min(quantity, 80) + 400 * max(quantity - 80, 0)


def open_world(store: Store, world: World) -> list[str]:
    """The shop with its customers' subscriptions. paper2 costs 4.50."""
    open_shop(store)
    goods = {"product_id": "goods", "base_unit": "case"}
    create_sku(store, OPENED, sku_id="paper2", name="Paper 2", **goods)
    create_sku(store, OPENED, sku_id="paper", name="Paper", successor_sku_id="paper2", **goods)
    tiers = (NewTier(80, "5.00"), NewTier(None, "4.00"))
    for plan_id, sku_id, price in (
        ("standing", "paper", NewPrice("standing.1.paper", "graduated", tiers=tiers)),
        ("new", "paper2", NewPrice("new.1.paper", "per_unit", "4.50")),
    ):
        part = catalog.NewComponent("paper", "seat", sku_id=sku_id)
        sell_alone(store, part, price, plan_id=plan_id, in_advance=True)
    found = []
    for number, quantity in enumerate(world.quantities):
        join(store, f"c{number}")
        contract = NewContract(contract_id=f"contract{number}", stock_rule=world.rule)
        found.append(take(store, DAY, "standing", f"c{number}", quantity=quantity, contract=contract))
        agree_to_substitutes(store, at(DAY), contract_id=f"contract{number}")
    return found


def stock_of(deliveries: Sequence[tuple[str, int, int]]) -> SimulatedStock:
    stock = SimulatedStock()
    for sku_id in ("paper", "paper2"):
        stock.plan(sku_id, 0)
    for sku_id, quantity, on in deliveries:
        stock.plan(sku_id, quantity, on=DAY + timedelta(days=on))
    return stock


def evening(store: Store, stock: SimulatedStock, on: date) -> None:
    allocate(store, stock, at(on, 19), up_to=on)
    run(store, on)


def perform(store: Store, act: Act, subs: Sequence[str]) -> None:
    on, when = DAY + timedelta(days=act.day), DAY + timedelta(days=max(act.day - act.days_back, 0))
    sub = subs[act.customer % len(subs)]
    with suppress(BillingError):
        if act.quantity is None:
            subscriptions.cancel(store, at(on), subscription_id=sub, when=when)
        else:
            subscriptions.change_quantity(
                store, at(on), subscription_id=sub, quantity=act.quantity, when=when
            )


def report_short(store: Store, on: date, missing: int) -> None:
    """So much of the first order did not arrive."""
    rows = store.rows(select(tables.stock_orders).order_by(tables.stock_orders.c.order_id))
    if rows:
        known = sums(store)[rows[0]["order_id"]]
        delivered = max(known["allocated"] - missing, 0)
        report_delivery(store, at(on), order_id=rows[0]["order_id"], delivered=delivered)


def sums(store: Store) -> dict[str, Counter[str]]:
    """What became of each order, added up in plain Python."""
    found: dict[str, Counter[str]] = {
        row["order_id"]: Counter() for row in store.rows(select(tables.stock_orders))
    }
    for row in store.rows(select(tables.stock_allocations)):
        found[row["order_id"]][row["kind"]] += row["quantity_mantissa"]
    return found


def played(world: World) -> tuple[Store, SimulatedStock]:
    store, stock = new_store(), stock_of(world.deliveries)
    subs = open_world(store, world)
    for day in range(72):
        on = DAY + timedelta(days=day)
        for act in world.acts:
            if act.day == day:
                perform(store, act, subs)
        for of_day, missing in world.short:
            if of_day == day:
                report_short(store, on, missing)
        if day in world.lost:
            stock.lose_answers(2, after=world.lost[day])
        if day in world.days:
            evening(store, stock, on)
    stock.lose_answers(0)
    evening(store, stock, LAST)
    return store, stock


def net_of(store: Store) -> Counter[tuple[str, date]]:
    """What was billed of each item and period, less what was credited."""
    found: Counter[tuple[str, date]] = Counter()
    period = {}
    for row in store.rows(select(tables.line_items)):
        period[row["line_id"]] = (row["item_id"], row["reference_start"])
        found[period[row["line_id"]]] += row["net_minor"]
    for row in store.rows(select(tables.credit_note_lines)):
        found[period[row["line_id"]]] -= row["net_minor"]
    return found


@examples(4, 16)
@given(world=worlds)
def test_nothing_is_lost_or_sold_twice_and_what_came_is_what_is_billed(world: World) -> None:
    store, stock = played(world)
    check_orders_and_bills(store)
    check_stock(store, stock, world)
    check_second_evening(store, stock)
    assert_sound(store, at(LAST, 22))


def check_orders_and_bills(store: Store) -> None:
    """Each order adds up, and its period was billed what came of it costs."""
    found, billed = sums(store), net_of(store)
    for row in store.rows(select(tables.stock_orders)):
        of = found[row["order_id"]]
        gone = of["allocated"] + of["substituted"] + of["released"] + of["skipped"]
        backorder = row["quantity_mantissa"] - gone
        assert backorder >= 0
        assert min(of[kind] for kind in ("allocated", "substituted", "released", "skipped")) >= 0
        assert backorder == 0 or row["closed_on"] is None
        paper = max(of["allocated"] - of["short"], 0)
        instead = min(cost(paper + of["substituted"]) - cost(paper), 450 * of["substituted"])
        assert billed.pop((row["item_id"], row["reference_start"]), 0) == cost(paper) + instead
    assert not any(billed.values())


def check_stock(store: Store, stock: SimulatedStock, world: World) -> None:
    """No more was given than came, and the stock holds what was noted."""
    for sku_id, kind in (("paper", "allocated"), ("paper2", "substituted")):
        came = sum(quantity for of, quantity, _ in world.deliveries if of == sku_id)
        noted = sum(of[kind] for of in sums(store).values())
        free = stock.available(sku_id, LAST)
        assert free is not None
        assert noted <= came
        assert came - noted == free.mantissa / 10**free.scale


def check_second_evening(store: Store, stock: SimulatedStock) -> None:
    """Asked and billed again on the same day, nothing happens."""
    written = (tables.stock_allocations, tables.line_items, tables.credit_note_lines)
    before = [len(store.rows(select(one))) for one in written]
    evening(store, stock, LAST)
    assert [len(store.rows(select(one))) for one in written] == before


@examples(2, 8)
@given(
    data=st.data(), quantity=st.integers(1, 100), came=st.lists(st.integers(0, 40), min_size=2, max_size=5)
)
def test_the_order_in_which_goods_come_does_not_matter(data: Any, quantity: int, came: list[int]) -> None:
    results = []
    for amounts in (came, data.draw(st.permutations(came))):
        deliveries = [("paper", one, 5 * place) for place, one in enumerate(amounts)]
        every_fifth = [5 * place for place in range(len(amounts))]
        world = World("reserve_first", [quantity], deliveries, every_fifth, {}, [], [])
        store, _ = played(world)
        (first, *_) = sorted(net_of(store).items(), key=lambda one: one[0][1]) or [((None, DAY), 0)]
        results.append(first[1])
    assert results[0] == results[1] == cost(min(quantity, sum(came)))
