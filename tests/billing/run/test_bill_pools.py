"""A pool prices together what a customer tree takes in a contract year, and gives back what was dearer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from shop import (
    OPENED,
    Part,
    at,
    item_of,
    join,
    lines,
    new_store,
    notes,
    open_shop,
    parked,
    run,
    sell,
    take,
    use,
)
from soundness import assert_sound
from sqlalchemy import select, update

from billing.core.money import BillingError, currency_exponent, post
from billing.jobs.bill_facts import MEMBERS
from billing.jobs.bill_pools import draw_siblings
from billing.jobs.bill_run import preview
from billing.jobs.retry import retry
from billing.service import catalog, customers, subscriptions
from billing.service.catalog import NewTier
from billing.service.contracts import give_notice, renew_due
from billing.service.discounts import create_discount
from billing.service.goods import create_sku
from billing.service.policies import set_policy
from billing.service.pools import agree_pool
from billing.service.ramps import Phase, agree_ramp
from billing.service.subscriptions import NewContract
from billing.service.voids import void_invoice
from billing.store import tables
from billing.store.store import Store, open_store

START = date(2025, 1, 1)
TIERS = [NewTier(1000, "10.00"), NewTier(None, "9.00")]
CALLS = "metered.1.calls"
MONTHS = [date(2025, month, 1) for month in range(2, 13)] + [date(2026, 1, 1)]


def shop(
    store: Store,
    *,
    tiers: Sequence[NewTier] = TIERS,
    others: Sequence[str] = (),
    currency: str = "EUR",
    tax_rate_ppm: int = 0,
    interval: str = "P1Y",
    **settings: str | int,
) -> dict[str, str]:
    """Anna's tree takes calls at 10.00 under one pool from 2025; the item of each customer."""
    open_shop(store, tax_rate_ppm=tax_rate_ppm, **settings)
    sell(store, "metered", [Part("calls", "usage", tiers[0].unit, "per_unit")], currency=currency)
    join(store, "anna", currency=currency)
    contract = NewContract(term="P1Y", contract_id="frame")
    found = {"anna": item_of(store, take(store, START, "metered", contract=contract))}
    for one in others:
        join(store, one, currency=currency, parent_id="anna")
        found[one] = item_of(store, take(store, START, "metered", one))
    agree_pool(
        store,
        at(START),
        contract_id="frame",
        components=[CALLS],
        tiers=tiers,
        interval=interval,
        clause_id="pool",
    )
    return found


def used(store: Store, item: str, on: date, value: int, arrived: date | None = None) -> None:
    use(store, arrived or on, item, on, value, f"{item} {on} {value} {arrived}")


def nets(store: Store, kind: str) -> list[tuple[str, int]]:
    asked = select(tables.line_items).where(tables.line_items.c.kind == kind)
    rows = store.rows(asked.order_by(tables.line_items.c.line_id))
    return [(row["customer_id"], row["net_minor"]) for row in rows]


def rebates(store: Store) -> dict[str, int]:
    """What each customer was granted, on invoices and on notes, less what was taken back."""
    found: dict[str, int] = {}
    for customer_id, net in nets(store, "rebate"):
        found[customer_id] = found.get(customer_id, 0) + net
    asked = (
        select(tables.line_items.c.customer_id, tables.credit_note_lines.c.net_minor)
        .join(tables.line_items, tables.line_items.c.line_id == tables.credit_note_lines.c.line_id)
        .where(tables.credit_note_lines.c.kind == "rebate")
    )
    for row in store.rows(asked):
        found[row["customer_id"]] = found.get(row["customer_id"], 0) - row["net_minor"]
    return found


def total(store: Store) -> int:
    noted = sum(net for _, _, net, _ in notes(store))
    return sum(net for (net,) in lines(store, "net_minor")) - noted


def look_again(store: Store, on: date) -> Any:
    store.execute(update(tables.customers).values(next_bill_on=on, unsettled_from=None))
    return run(store, on, 22)


def test_the_volume_beyond_a_threshold_makes_all_of_the_year_cheaper(store: Store) -> None:
    item = shop(store, tax_rate_ppm=200_000)["anna"]
    used(store, item, date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    assert nets(store, "usage") == [("anna", 900_000)]
    used(store, item, date(2025, 2, 10), 200)
    run(store, date(2025, 3, 1))
    assert nets(store, "usage") == [("anna", 900_000), ("anna", 180_000)]
    assert nets(store, "rebate") == [("anna", -90_000)]
    assert total(store) == 990_000
    assert sorted(tax for (tax,) in lines(store, "tax_minor")) == [-18_000, 36_000, 180_000]
    assert parked(store) == {}
    assert look_again(store, date(2025, 3, 1)).lines == 0
    assert total(store) == 990_000


def test_a_void_takes_back_a_rebate_and_the_line_it_relates_to_each_as_it_is(store: Store) -> None:
    item = shop(store, tax_rate_ppm=200_000, others=["bert"])
    used(store, item["anna"], date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    used(store, item["bert"], date(2025, 2, 10), 200)
    run(store, date(2025, 3, 1))
    of_bert = {"kind", "net_minor", "tax_minor", "line_id", "reverses_line_id"}
    asked = select(*(tables.line_items.c[name] for name in sorted(of_bert)))
    rebate, usage = store.rows(
        asked.where(tables.line_items.c.customer_id == "bert").order_by(tables.line_items.c.kind)
    )
    assert rebate["reverses_line_id"] == usage["line_id"]
    paper = store.rows(select(tables.invoices).where(tables.invoices.c.customer_id == "bert"))[0]
    before, noted = total(store), notes(store)
    void_invoice(store, at(date(2025, 3, 2)), invoice_id=paper["invoice_id"], reason="Wrong department")
    taken = [net for _, _, net, _ in notes(store) if net not in {net for _, _, net, _ in noted}]
    assert sorted(taken) == [rebate["net_minor"], usage["net_minor"]]
    assert_sound(store, at(date(2025, 3, 3)))
    run(store, date(2025, 3, 3))
    assert total(store) == before
    assert_sound(store, at(date(2025, 3, 4)))


@pytest.mark.parametrize(
    ("effect", "rebate", "in_all"),
    [("retroactive_credit", -90_000, 990_000), ("from_here", 0, 1_090_000), ("year_end", 0, 1_080_000)],
)
def test_a_pool_acts_at_once_or_from_here_or_when_its_year_ends(
    store: Store, effect: str, rebate: int, in_all: int
) -> None:
    item = shop(store, pool_effect=effect)["anna"]
    used(store, item, date(2025, 1, 10), 900)
    used(store, item, date(2025, 2, 10), 200)
    for on in MONTHS[:2]:
        run(store, on)
    assert sum(net for _, net in nets(store, "rebate")) == rebate
    assert total(store) == in_all
    run(store, MONTHS[-1])
    assert parked(store) == {}
    at_end = {"retroactive_credit": 990_000, "from_here": 1_090_000, "year_end": 990_000}
    assert total(store) == at_end[effect]
    assert look_again(store, MONTHS[-1]).lines == 0


def test_a_rebate_at_the_end_of_the_year_is_not_granted_a_day_before(store: Store) -> None:
    item = shop(store, pool_effect="year_end")["anna"]
    used(store, item, date(2025, 1, 10), 900)
    used(store, item, date(2025, 2, 10), 200)
    run(store, date(2025, 12, 31))
    assert rebates(store) == {}
    run(store, date(2026, 1, 1))
    assert rebates(store) == {"anna": -90_000}


# Goods.


def goods(store: Store, **settings: str | int) -> str:
    """Anna orders paper under a pool, by the case or the pallet of 48; the subscription."""
    open_shop(store, tax_rate_ppm=0, **settings)
    units = {"pallet": 48}
    create_sku(store, OPENED, sku_id="paper", product_id="goods", name="Paper", base_unit="case", units=units)
    catalog.create_plan(store, OPENED, plan_id="standing", name="Paper", product_id="goods")
    parts = [catalog.NewComponent("paper", "seat", sku_id="paper")]
    catalog.publish_plan_version(store, OPENED, plan_id="standing", interval="P1M", components=parts)
    catalog.create_price_list(
        store,
        OPENED,
        list_id="list",
        name="List",
        currency="EUR",
        valid_start=date(2000, 1, 1),
        prices=[catalog.NewPrice("standing.1.paper", "per_unit", "10.00")],
    )
    join(store, "anna")
    contract = NewContract(term="P1Y", contract_id="frame")
    subscription_id = take(store, START, "standing", quantity=900, contract=contract)
    agree_pool(store, at(START), contract_id="frame", skus=["paper"], tiers=TIERS)
    return subscription_id


@pytest.mark.parametrize(
    ("effect", "line", "rebate"),
    [("retroactive_credit", 180_000, -90_000), ("from_here", 200_000, -10_000)],
)
def test_goods_count_in_base_units_and_are_billed_at_the_price_reached(
    store: Store, effect: str, line: int, rebate: int
) -> None:
    subscription_id = goods(store, pool_effect=effect)
    run(store, START)
    assert nets(store, "recurring") == [("anna", 900_000)]
    february = at(date(2025, 2, 1))
    subscriptions.change_quantity(store, february, subscription_id=subscription_id, quantity=200, when="now")
    run(store, date(2025, 2, 1))
    assert parked(store) == {}
    assert nets(store, "recurring") == [("anna", 900_000), ("anna", line)]
    assert nets(store, "rebate") == [("anna", rebate)]
    assert look_again(store, date(2025, 2, 1)).lines == 0
    run(store, date(2025, 2, 10))
    assert len(lines(store)) == 3


def test_pallets_count_as_the_cases_they_hold(store: Store) -> None:
    subscription_id = goods(store)
    march = at(date(2025, 2, 1))
    subscriptions.change_quantity(
        store, march, subscription_id=subscription_id, quantity=5, unit="pallet", when="now"
    )
    run(store, date(2025, 2, 1))
    assert nets(store, "recurring") == [("anna", 900_000), ("anna", 240 * 900)]
    assert total(store) == 1140 * 900


def test_goods_that_leave_in_a_period_count_for_the_part_they_were_there(store: Store) -> None:
    subscription_id = goods(store)
    run(store, START)
    middle = date(2025, 1, 16)
    subscriptions.change_quantity(
        store, at(middle), subscription_id=subscription_id, quantity=1800, when="now"
    )
    run(store, middle)
    # 900 for 15 of 31 days and 1800 for 16: 1364.5161… cases, all at 9.00.
    whole = Fraction(900 * 15 + 1800 * 16, 31)
    assert abs(total(store) - whole * 900) <= 2
    assert parked(store) == {}
    assert look_again(store, middle).lines == 0
    assert nets(store, "rebate")[0][1] == pytest.approx(-Fraction(900 * 15, 31) * 100, abs=1)


# Trees.


def test_a_tree_shares_its_volume_and_its_rebate_by_volume(store: Store) -> None:
    found = shop(store, others=["bert", "carl"])
    used(store, found["anna"], date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    used(store, found["bert"], date(2025, 2, 10), 150)
    used(store, found["carl"], date(2025, 2, 11), 50)
    run(store, date(2025, 3, 1))
    assert parked(store) == {}
    assert nets(store, "usage") == [("anna", 900_000), ("bert", 135_000), ("carl", 45_000)]
    # 900.00 by 900, 150 and 50 of 1100: 736.36, 122.73, 40.91.
    assert rebates(store) == {"anna": -73_636, "bert": -12_273, "carl": -4_091}
    assert total(store) == 990_000
    assert look_again(store, date(2025, 3, 1)).lines == 0


def test_customers_of_another_tree_do_not_count(store: Store) -> None:
    found = shop(store)
    join(store, "dora")
    dora = item_of(store, take(store, START, "metered", "dora"))
    used(store, found["anna"], date(2025, 1, 10), 900)
    used(store, dora, date(2025, 1, 10), 200)
    run(store, date(2025, 2, 1))
    assert sorted(nets(store, "usage")) == [("anna", 900_000), ("dora", 200_000)]
    assert nets(store, "rebate") == []


def test_a_customer_that_joins_the_tree_brings_its_volume_and_takes_it_away_again(store: Store) -> None:
    found = shop(store)
    join(store, "dora")
    dora = item_of(store, take(store, START, "metered", "dora"))
    used(store, found["anna"], date(2025, 1, 10), 900)
    used(store, dora, date(2025, 1, 10), 200)
    run(store, date(2025, 2, 1))
    assert total(store) == 1_100_000
    customers.change_customer(store, at(date(2025, 2, 2)), customer_id="dora", parent_id="anna")
    run(store, date(2025, 2, 2))
    assert total(store) == 1_100_000
    run(store, date(2025, 3, 1))
    assert (total(store), parked(store)) == (990_000, {})
    customers.change_customer(store, at(date(2025, 3, 2)), customer_id="dora", parent_id=None)
    run(store, date(2025, 4, 1))
    assert (total(store), parked(store)) == (1_100_000, {})
    assert look_again(store, date(2025, 4, 1)).lines == 0


def test_a_member_that_is_due_draws_in_those_that_are_not(store: Store) -> None:
    found = shop(store, others=["bert"])
    late = date(2025, 1, 15)
    join(store, "emil", parent_id="anna")
    emil = item_of(store, take(store, late, "metered", "emil"))
    used(store, found["anna"], date(2025, 1, 10), 900)
    used(store, emil, date(2025, 1, 20), 200)
    run(store, date(2025, 2, 1))
    assert (nets(store, "usage"), nets(store, "rebate")) == ([("anna", 900_000)], [])
    run(store, date(2025, 2, 15))
    assert nets(store, "usage") == [("anna", 900_000), ("emil", 180_000)]
    assert rebates(store) == {"anna": -73_636, "emil": -16_364}
    assert look_again(store, date(2025, 2, 15)).lines == 0


# Time and order.


def test_a_new_contract_year_starts_its_volume_anew(store: Store) -> None:
    item = shop(store)["anna"]
    used(store, item, date(2025, 12, 10), 1100)
    run(store, date(2026, 1, 1))
    assert nets(store, "usage") == [("anna", 990_000)]
    used(store, item, date(2026, 1, 10), 200)
    run(store, date(2026, 2, 1))
    assert nets(store, "usage")[1:] == [("anna", 200_000)]
    assert nets(store, "rebate") == []
    settled = store.row(select(tables.customers.c.unsettled_from))
    assert settled is not None
    assert settled["unsettled_from"] == date(2026, 2, 1)


def test_a_late_event_of_a_year_that_is_over_lowers_that_year(store: Store) -> None:
    item = shop(store)["anna"]
    used(store, item, date(2025, 12, 10), 950)
    run(store, date(2026, 1, 1))
    used(store, item, date(2026, 1, 10), 10)
    used(store, item, date(2025, 12, 20), 150, date(2026, 1, 12))
    run(store, date(2026, 2, 1))
    # 2025: 1100 at 9.00; 2026: 10 at 10.00.
    assert (total(store), parked(store)) == (990_000 + 10_000, {})
    assert look_again(store, date(2026, 2, 1)).lines == 0


@pytest.mark.parametrize("effect", ["retroactive_credit", "year_end"])
@pytest.mark.parametrize("is_once", [False, True], ids=["monthly", "once"])
def test_a_late_event_after_the_year_reprices_members_whose_own_invoice_is_not_due(
    store: Store, effect: str, is_once: bool
) -> None:
    found = shop(store, pool_effect=effect)
    join(store, "bert", parent_id="anna")
    bert = item_of(store, take(store, START, "metered", "bert", anchor_on=date(2025, 1, 15)))
    used(store, found["anna"], date(2025, 2, 10), 300)
    used(store, bert, date(2025, 11, 20), 600)
    days = [date(year, month, day) for year in (2025, 2026) for month in range(1, 13) for day in (1, 15)]
    late = date(2026, 2, 10)
    for on in days[22:27] if not is_once else []:
        run(store, on)
    used(store, found["anna"], date(2025, 2, 11), 200, late)
    for on in days[27:31] if not is_once else days[30:31]:
        run(store, on)
    # 1100 calls of 2025, all at 9.00.
    assert (total(store), parked(store)) == (1100 * 900, {})
    assert look_again(store, days[30]).lines == 0


def test_usage_taken_back_shrinks_the_rebate(store: Store) -> None:
    item = shop(store, tax_rate_ppm=200_000)["anna"]
    used(store, item, date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    used(store, item, date(2025, 2, 10), 200)
    run(store, date(2025, 3, 1))
    assert total(store) == 990_000
    used(store, item, date(2025, 2, 20), -150, date(2025, 3, 5))
    run(store, date(2025, 4, 1))
    # 950 never reached the second tier: the line of 200 at 9.00 is one of 50 at 10.00.
    assert total(store) == 950_000
    tax = sum(tax for (tax,) in lines(store, "tax_minor")) - sum(tax for *_, tax in notes(store))
    assert tax == 190_000
    entries = {row["entry"] for row in store.rows(select(tables.line_items)) if row["kind"] == "rebate"}
    assert entries == {"credit", "charge"}
    assert look_again(store, date(2025, 4, 1)).lines == 0


def test_a_rebate_beyond_what_is_charged_becomes_a_credit_note(store: Store) -> None:
    item = shop(store, tax_rate_ppm=200_000)["anna"]
    used(store, item, date(2025, 1, 10), 990)
    run(store, date(2025, 2, 1))
    used(store, item, date(2025, 2, 10), 20)
    run(store, date(2025, 3, 1))
    assert nets(store, "usage") == [("anna", 990_000), ("anna", 18_000)]
    assert nets(store, "rebate") == []
    assert notes(store) == [(START, date(2026, 1, 1), 99_000, 19_800)]
    first = store.row(select(tables.line_items).order_by(tables.line_items.c.line_id))
    noted = store.row(select(tables.credit_note_lines))
    assert first is not None
    assert noted is not None
    assert (noted["line_id"], noted["kind"]) == (first["line_id"], "rebate")
    assert look_again(store, date(2025, 3, 1)).lines == 0
    run(store, date(2025, 4, 1))
    assert total(store) == 1010 * 900
    balance = {
        row["account"]: row["debit_minor"] - row["credit_minor"]
        for row in store.frame(select(tables.journal_lines))
        .group_by("account")
        .agg(pl.col("debit_minor", "credit_minor").sum())
        .iter_rows(named=True)
    }
    assert balance["deferred_revenue"] == -1010 * 900
    assert balance["tax_payable"] == -1010 * 180


def test_credits_on_notes_of_their_own_take_the_rebate_of_a_first_run_along(store: Store) -> None:
    item = shop(store, credit_document="credit_note")["anna"]
    used(store, item, date(2025, 1, 10), 900)
    used(store, item, date(2025, 2, 10), 200)
    run(store, date(2025, 3, 1))
    assert parked(store) == {}
    assert [net for _, _, net, _ in notes(store)] == [90_000]
    noted = store.row(select(tables.credit_note_lines))
    assert noted is not None
    assert noted["line_id"] in {line for (line,) in lines(store, "line_id")}


def test_an_earlier_day_takes_no_rebate_back(store: Store) -> None:
    item = shop(store)["anna"]
    used(store, item, date(2025, 1, 10), 900)
    used(store, item, date(2025, 2, 10), 200)
    run(store, date(2025, 3, 1))
    assert look_again(store, date(2025, 2, 10)).lines == 0
    assert total(store) == 990_000


def test_a_discount_of_the_item_lowers_its_rebate_too(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "metered", [Part("calls", "usage", "10.00", "per_unit")])
    join(store, "anna")
    create_discount(store, OPENED, discount_id="tenth", name="Tenth", discount_ppm=100_000)
    contract = NewContract(term="P1Y", contract_id="frame")
    new = take(store, START, "metered", contract=contract, discount_ids=["tenth"])
    agree_pool(store, at(START), contract_id="frame", components=[CALLS], tiers=TIERS)
    used(store, item_of(store, new), date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    used(store, item_of(store, new), date(2025, 2, 10), 200)
    run(store, date(2025, 3, 1))
    assert nets(store, "rebate") == [("anna", -81_000)]
    assert total(store) == 891_000


@pytest.mark.parametrize("days", [MONTHS, MONTHS[-1:]], ids=["monthly", "once"])
@pytest.mark.parametrize(
    ("ppm", "costs"),
    # 900 calls less the discount, then 200 at full price, all of them at 9.00 in the end.
    [(1_000_000, 200 * 900), (500_000, 900 * 450 + 200 * 900), (333_333, 900 * 600 + 200 * 900)],
)
def test_a_rebate_gives_back_what_was_paid_with_the_discount_of_its_time(
    store: Store, days: Sequence[date], ppm: int, costs: int
) -> None:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "metered", [Part("calls", "usage", "10.00", "per_unit")])
    join(store, "anna")
    create_discount(store, OPENED, discount_id="intro", name="Intro", discount_ppm=ppm, times=3)
    contract = NewContract(term="P1Y", contract_id="frame")
    item = item_of(store, take(store, START, "metered", contract=contract, discount_ids=["intro"]))
    agree_pool(store, at(START), contract_id="frame", components=[CALLS], tiers=TIERS)
    used(store, item, date(2025, 2, 10), 900)
    for on in [day for day in days if day < date(2025, 9, 10)]:
        run(store, on)
    used(store, item, date(2025, 9, 10), 200)
    for on in [day for day in days if day > date(2025, 9, 10)]:
        run(store, on)
    assert rebates(store) == ({"anna": -round(900 * 100 * (1 - ppm / 10**6))} if ppm < 10**6 else {})
    assert (total(store), parked(store)) == (costs, {})
    assert look_again(store, days[-1]).lines == 0
    assert total(store) == costs


def test_a_discount_that_comes_later_does_not_lower_the_rebate_of_what_was_paid_in_full(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "metered", [Part("calls", "usage", "10.00", "per_unit")])
    join(store, "anna")
    create_discount(store, OPENED, discount_id="half", name="Half", discount_ppm=500_000)
    contract = NewContract(term="P1Y", contract_id="frame")
    subscription_id = take(store, START, "metered", contract=contract)
    agree_pool(store, at(START), contract_id="frame", components=[CALLS], tiers=TIERS)
    used(store, item_of(store, subscription_id), date(2025, 1, 10), 900)
    used(store, item_of(store, subscription_id), date(2025, 2, 10), 200)
    for on in MONTHS[:3]:
        run(store, on)
    phases = [Phase(from_on=date(2025, 5, 1), discount_ids=["half"])]
    agree_ramp(store, at(date(2025, 4, 2)), subscription_id=subscription_id, phases=phases)
    for on in MONTHS[3:]:
        run(store, on)
    assert (total(store), rebates(store), parked(store)) == (990_000, {"anna": -90_000}, {})


def test_a_member_whose_calls_were_free_has_no_part_in_the_rebate(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "metered", [Part("calls", "usage", "10.00", "per_unit")])
    create_discount(store, OPENED, discount_id="free", name="Free", discount_ppm=1_000_000)
    join(store, "anna")
    contract = NewContract(term="P1Y", contract_id="frame")
    items = {"anna": item_of(store, take(store, START, "metered", contract=contract, discount_ids=["free"]))}
    for one in ("bert", "carl"):
        join(store, one, parent_id="anna")
        items[one] = item_of(store, take(store, START, "metered", one))
    agree_pool(store, at(START), contract_id="frame", components=[CALLS], tiers=TIERS)
    used(store, items["anna"], date(2025, 1, 10), 900)
    used(store, items["bert"], date(2025, 1, 10), 50)
    used(store, items["carl"], date(2025, 2, 10), 150)
    for on in MONTHS[:2]:
        run(store, on)
    # bert paid 50.00 beyond 9.00 a call; by 50 and 150 calls that were paid.
    assert (rebates(store), parked(store)) == ({"bert": -1_250, "carl": -3_750}, {})
    assert total(store) == 200 * 900
    assert look_again(store, MONTHS[1]).lines == 0


def test_an_amount_off_goods_of_a_pool_sets_the_pool_aside(store: Store) -> None:
    goods(store)
    join(store, "bert", parent_id="anna")
    create_discount(store, OPENED, discount_id="less", name="Less", amount="500.00", currency="EUR", times=1)
    take(store, START, "standing", "bert", quantity=50, discount_ids=["less"])
    run(store, START)
    assert parked(store) == {"anna": "pool_failed", "bert": "unsupported_discount"}
    row = store.row(select(tables.customers.c.parked_detail).where(tables.customers.c.customer_id == "bert"))
    assert row is not None
    assert row["parked_detail"].endswith("an amount discount on the pooled standing.1.paper")
    assert lines(store) == []


@pytest.mark.parametrize(
    ("currency", "high", "low"), [("USD", "0.1", "0.09"), ("JPY", "10", "9.5"), ("KWD", "0.0125", "0.0111")]
)
def test_a_rebate_is_whole_minor_units_in_every_currency(
    store: Store, currency: str, high: str, low: str
) -> None:
    tiers = [NewTier(1000, high), NewTier(None, low)]
    item = shop(store, tiers=tiers, currency=currency)["anna"]
    used(store, item, date(2025, 1, 10), 999)
    run(store, date(2025, 2, 1))
    used(store, item, date(2025, 2, 10), 212)
    run(store, date(2025, 3, 1))
    minor = 10 ** currency_exponent(currency)

    def posted(quantity: int, price: Fraction) -> int:
        exact = quantity * price * minor
        return post(exact.numerator, exact.denominator)

    above, below = Fraction(high), Fraction(low)
    assert [net for _, net in nets(store, "usage")] == [posted(999, above), posted(212, below)]
    assert [net for _, net in nets(store, "rebate")] == [-posted(999, above - below)]


# Failures.


def test_a_member_that_fails_sets_its_pool_aside_and_nobody_else(store: Store) -> None:
    found = shop(store, others=["bert"])
    sell(store, "plain", [Part("fee", "fee", "5.00")])
    join(store, "fred", parent_id="anna")
    take(store, START, "plain", "fred")
    join(store, "gina")
    gina = item_of(store, take(store, START, "metered", "gina"))
    used(store, found["anna"], date(2025, 1, 10), 900)
    used(store, found["bert"], date(2025, 1, 11), -5)
    used(store, gina, date(2025, 1, 11), 7)
    run(store, date(2025, 2, 1))
    assert parked(store) == {"anna": "pool_failed", "bert": "negative_quantity"}
    assert nets(store, "usage") == [("gina", 7000)]
    assert dict(nets(store, "recurring")).keys() == {"fred"}
    # While bert is set aside, the volume of the pool is not known.
    run(store, date(2025, 2, 2))
    assert nets(store, "usage") == [("gina", 7000)]
    used(store, found["bert"], date(2025, 1, 12), 205, date(2025, 2, 3))
    retry(store, at(date(2025, 2, 3)), up_to=date(2025, 2, 3), customer_ids=["bert"])
    assert parked(store) == {}
    assert sorted(nets(store, "usage")) == [("anna", 810_000), ("bert", 180_000), ("gina", 7000)]


def test_a_member_set_aside_for_itself_holds_up_its_pool(store: Store) -> None:
    found = shop(store, others=["bert"])
    row = {"customer_id": "bert", "parked_at": at(START), "parked_code": "no_tax_rate"}
    store.update(tables.customers, [row], at(START))
    used(store, found["anna"], date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    assert parked(store) == {"anna": "pool_failed", "bert": "no_tax_rate"}


def test_a_pool_that_is_over_sets_nobody_aside(store: Store) -> None:
    found = shop(store, others=["bert"])
    sell(store, "plain", [Part("fee", "fee", "5.00")])
    used(store, found["bert"], date(2025, 6, 10), 1100)
    give_notice(store, at(date(2025, 7, 2)), contract_id="frame")
    for on in (MONTHS[5], MONTHS[-1], date(2026, 2, 1)):
        renew_due(store, at(on))
        run(store, on)
    assert (total(store), parked(store)) == (990_000, {})
    later = date(2026, 2, 10)
    used(store, found["bert"], date(2026, 2, 2), -5, later)
    take(store, later, "plain", "anna")
    run(store, later)
    run(store, date(2026, 3, 1))
    assert parked(store) == {"bert": "negative_quantity"}
    assert dict(nets(store, "recurring")) == {"anna": 500}


def test_a_pool_that_has_not_begun_sets_nobody_aside(store: Store) -> None:
    open_shop(store, tax_rate_ppm=0)
    sell(store, "metered", [Part("calls", "usage", "10.00", "per_unit")])
    join(store, "anna")
    join(store, "bert", parent_id="anna")
    contract = NewContract(term="P1Y", contract_id="frame")
    anna = item_of(store, take(store, START, "metered", contract=contract))
    bert = item_of(store, take(store, START, "metered", "bert"))
    first = date(2026, 1, 1)
    agree_pool(store, at(START), contract_id="frame", components=[CALLS], tiers=TIERS, first_on=first)
    used(store, anna, date(2025, 1, 5), 3)
    used(store, bert, date(2025, 1, 5), -3)
    run(store, MONTHS[0])
    assert parked(store) == {"bert": "negative_quantity"}
    assert nets(store, "usage") == [("anna", 3_000)]


def test_a_pool_with_a_member_that_is_held_is_passed_over_whole(store: Store, database_url: str) -> None:
    if store.is_sqlite:
        return
    with open_store(database_url) as other:
        shop(store, others=["bert"])
        join(store, "gina")
        take(store, START, "metered", "gina")
        held = select(tables.customers.c.customer_id).where(tables.customers.c.customer_id == "bert")
        due = MEMBERS.where(tables.customers.c.customer_id.in_(["anna", "gina"]))
        with other.transaction(), store.transaction():
            other.row(held.with_for_update())
            members = draw_siblings(store, store.frame(due), START, waits=False)
            assert members["customer_id"].to_list() == ["gina"]
        with store.transaction():
            members = draw_siblings(store, store.frame(due), START, waits=False)
            assert sorted(members["customer_id"]) == ["anna", "bert", "gina"]


def test_a_pool_that_fails_unforeseen_is_set_aside_alone(store: Store) -> None:
    found = shop(store, others=["bert"])
    join(store, "gina")
    gina = item_of(store, take(store, START, "metered", "gina"))
    used(store, found["bert"], date(2025, 1, 10), 900)
    used(store, gina, date(2025, 1, 11), 7)
    # A policy that is not there is no failure a run foresees.
    for one in ("anna", "bert"):
        row = {"customer_id": one, "policy_name": "none"}
        store.update(tables.customers, [row], at(START))
    run(store, date(2025, 2, 1))
    assert parked(store) == {"anna": "unexpected", "bert": "pool_failed"}
    assert nets(store, "usage") == [("gina", 7000)]


def test_members_under_several_policies_cannot_share_a_pool(store: Store) -> None:
    shop(store, others=["bert"])
    set_policy(store, OPENED, name="other", valid_from=OPENED.date(), settings={"rounding": "down"})
    customers.change_customer(store, at(START), customer_id="bert", policy_name="other")
    run(store, date(2025, 2, 1))
    assert parked(store) == {"anna": "pool_failed", "bert": "pool_failed"}


def test_an_amount_out_of_range_is_seen_in_the_rebate(store: Store) -> None:
    tiers = [NewTier(10**9, "900000000"), NewTier(None, "0")]
    item = shop(store, tiers=tiers)["anna"]
    used(store, item, date(2025, 1, 10), 10**9)
    used(store, item, date(2025, 2, 10), 10**9)
    run(store, date(2025, 3, 1))
    assert parked(store) == {"anna": "amount_out_of_range"}


def test_a_preview_shows_the_pool_and_writes_nothing(store: Store) -> None:
    found = shop(store, others=["bert"])
    used(store, found["anna"], date(2025, 1, 10), 900)
    run(store, date(2025, 2, 1))
    used(store, found["bert"], date(2025, 2, 10), 200)
    shown = preview(store, at(date(2025, 3, 1), 20), customer_id="bert", up_to=date(2025, 3, 1))
    before = lines(store)
    assert [net for *_, net in before] == [900_000]
    run(store, date(2025, 3, 1))
    new = [net for *_, net in lines(store)[len(before) :]] + [-net for _, _, net, _ in notes(store)]
    assert sorted(shown.lines["net_minor"]) == sorted(new) == [-73_636, -16_364, 180_000]


# Agreeing.


def refused(store: Store, **named: Any) -> str:
    about = {"contract_id": "frame", "components": [CALLS], "tiers": TIERS} | named
    with pytest.raises(BillingError) as error:
        agree_pool(store, at(START), **about)
    assert error.value.message != error.value.detail
    return error.value.code


def heights(store: Store) -> dict[str, int]:
    left = ("rejected_inputs", "audit_log")
    kept = {name: table for name, table in tables.metadata.tables.items() if name not in left}
    return {name: store.frame(table.select()).height for name, table in kept.items()}


def test_a_pool_that_cannot_be_is_refused_and_changes_nothing(store: Store) -> None:
    shop(store)
    sell(store, "plain", [Part("fee", "fee", "5.00"), Part("calls", "usage", "1.00", "per_unit")])
    wanted = {"components": ["plain.1.calls"]}
    before = heights(store)
    assert refused(store) == "pool_overlap"
    assert refused(store, contract_id="none") == "unknown_contract"
    assert refused(store, components=["none"]) == "unknown_component"
    assert refused(store, components=["plain.1.fee"]) == "illegal_plan"
    assert refused(store, components=[]) == "illegal_plan"
    assert refused(store, skus=["none"], components=[]) == "unknown_sku"
    assert refused(store, first_on=date(2020, 1, 1), **wanted) == "before_horizon"
    assert refused(store, interval="yearly", **wanted) == "bad_interval"
    for tiers, code in [
        ([], "bad_tiers"),
        ([NewTier(10, "1")], "bad_tiers"),
        ([NewTier(10, "1"), NewTier(5, "1"), NewTier(None, "1")], "bad_tiers"),
        ([NewTier(10, "1"), NewTier(None, "2")], "bad_tiers"),
        ([NewTier(10, "1", flat="3"), NewTier(None, "1")], "bad_tiers"),
        ([NewTier(10, "1"), NewTier(None, "-1")], "negative_price"),
        ([NewTier(10, 1.5), NewTier(None, "1")], "float_money"),
        ([NewTier(10, "1"), NewTier(None, "0.0000000000001")], "too_many_decimals"),
        ([NewTier(10**16, "1"), NewTier(None, "1")], "amount_out_of_range"),
    ]:
        assert refused(store, tiers=tiers, **wanted) == code
    assert heights(store) == before


def test_a_pool_ends_with_its_contract(store: Store) -> None:
    item = shop(store)["anna"]
    used(store, item, date(2025, 6, 10), 1100)
    give_notice(store, at(date(2025, 7, 2)), contract_id="frame")
    for on in MONTHS[6:]:
        renew_due(store, at(on))
        run(store, on)
    assert (total(store), parked(store)) == (990_000, {})
    assert look_again(store, MONTHS[-1]).lines == 0


# How often and in which order.

STEPS = [NewTier(40, "1.005"), NewTier(100, "0.7"), NewTier(None, "0.333")]
EVENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 5), st.integers(0, 60), st.integers(0, 1)),
    min_size=1,
    max_size=7,
)
"""Who, in which month, how many calls, months until they arrive."""
few = examples(2, 6)


def lived(events: list[tuple[int, int, int, int]], days: Sequence[date], effect: str) -> Store:
    """Two customers of a tree use calls under a pool that counts by the quarter."""
    store = new_store(7)
    found = shop(store, others=["bert"], tiers=STEPS, pool_effect=effect, interval="P3M")
    of_items = list(found.values())
    arrivals = sorted(
        (date(2025, month + delay, 20 if delay else 10), number)
        for number, (_, month, _, delay) in enumerate(events)
    )
    for day in days:
        while arrivals and arrivals[0][0] <= day:
            arrived, number = arrivals.pop(0)
            who, month, value, _ = events[number]
            use(store, arrived, of_items[who], date(2025, month, 10), value, f"event {number}")
        run(store, day)
    assert (arrivals, parked(store)) == ([], {})
    return store


def reference(events: list[tuple[int, int, int, int]], effect: str) -> Fraction:
    """What the quarters cost, by hand: all at the price of the last tier reached, or tier by tier."""
    bounds = [(40, Fraction("1.005")), (100, Fraction("0.7")), (10**9, Fraction("0.333"))]
    whole = Fraction(0)
    for months in ((1, 2, 3), (4, 5, 6)):
        volume = sum(value for _, month, value, _ in events if month in months)
        if effect != "from_here":
            whole += volume * next(price for bound, price in bounds if volume <= bound)
            continue
        floor = 0
        for bound, price in bounds:
            whole += max(min(volume, bound) - floor, 0) * price
            floor = bound
    return whole * 100


@pytest.mark.usefixtures("each_database")
@pytest.mark.parametrize("effect", ["retroactive_credit", "from_here", "year_end"])
@few
@given(EVENTS)
def test_a_year_costs_what_its_volume_says_however_often_and_late_it_is_billed(
    effect: str, events: list[tuple[int, int, int, int]]
) -> None:
    days = [date(2025, month, 1) for month in range(2, 9)]
    many, once = lived(events, days, effect), lived(events, days[-1:], effect)
    # Each line and each rebate is posted once: half a minor unit each at most.
    posted = len(lines(once)) + len(notes(once))
    assert abs(total(once) - reference(events, effect)) <= Fraction(posted, 2)
    assert total(many) == total(once)
    assert look_again(many, days[-1]).lines == 0
    many.close()
    once.close()
