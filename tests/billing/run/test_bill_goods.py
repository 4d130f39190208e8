"""Goods are ordered in units of measure and billed in base units, at their least and in their multiples."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import OPENED, at, join, lines, open_shop, run, sell_alone, take
from sqlalchemy import select

from billing.core.money import BillingError, Scaled, parse_quantity
from billing.core.ordering import delivered, in_base_units
from billing.service import catalog, subscriptions
from billing.service.goods import create_sku
from billing.store.store import Store
from billing.store.tables import item_versions, rejected_inputs, skus

DAY = date(2025, 1, 1)


def shop(store: Store, price: str = "23.40", currency: str = "EUR", **settings: str) -> Store:
    """Paper by the case: at least 10, in steps of 5; a pallet holds 48 cases."""
    open_shop(store, **settings)
    create_sku(
        store,
        OPENED,
        sku_id="paper",
        product_id="goods",
        name="Paper",
        base_unit="case",
        units={"pallet": 48},
        minimum_quantity=10,
        order_multiple=5,
    )
    paper = catalog.NewComponent("paper", "seat", sku_id="paper")
    of_plan = catalog.NewPrice("standing.1.paper", "per_unit", price)
    sell_alone(store, paper, of_plan, plan_id="standing", in_advance=True, currency=currency)
    join(store, "anna", currency=currency)
    return store


def billed(store: Store) -> list[tuple[int, int]]:
    """Quantity and net of each line, in order."""
    return [(quantity, net) for quantity, net in lines(store, "quantity_mantissa", "net_minor")]


@pytest.mark.parametrize(
    ("ordered", "unit", "quantity", "net_minor"),
    [
        (12, None, 15, 35_100),
        (12, "case", 15, 35_100),
        (10, "case", 10, 23_400),
        (3, "case", 10, 23_400),
        (1, "pallet", 50, 117_000),
        ("0.25", "pallet", 15, 35_100),
        (5, "pallet", 240, 561_600),
    ],
)
def test_an_order_is_billed_at_least_the_minimum_and_in_whole_multiples(
    store: Store, ordered: int | str, unit: str | None, quantity: int, net_minor: int
) -> None:
    take(shop(store), DAY, "standing", quantity=ordered, unit=unit)
    run(store, DAY)
    assert billed(store) == [(quantity, net_minor)]


@pytest.mark.parametrize(("currency", "price", "net"), [("JPY", "2340", 35_100), ("KWD", "2.3405", 35_108)])
def test_goods_are_billed_in_every_currency(store: Store, currency: str, price: str, net: int) -> None:
    # 15 x 2.3405 = 35.1075 dinars, posted 35.108.
    take(shop(store, price, currency), DAY, "standing", quantity=12)
    run(store, DAY)
    assert billed(store) == [(15, net)]


def test_what_was_ordered_is_kept_beside_what_is_billed(store: Store) -> None:
    subscription_id = take(shop(store), DAY, "standing", quantity="0.25", unit="pallet")
    subscriptions.change_quantity(
        store, at(DAY), subscription_id=subscription_id, quantity=31, when="period_end"
    )
    rows = store.rows(
        select(item_versions)
        .where(item_versions.c.superseded_at.is_(None))
        .order_by(item_versions.c.effective_start)
    )
    names = ("quantity_mantissa", "ordered_mantissa", "ordered_scale", "ordered_unit")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (15, 25, 2, "pallet"),
        (35, 31, 0, "case"),
    ]


@pytest.mark.parametrize(
    ("quantity", "unit", "code"),
    [(12, None, "order_multiple"), (5, None, "order_multiple"), (15, "bottle", "unknown_unit")],
)
def test_an_order_that_does_not_fit_is_refused_where_the_policy_says_so(
    store: Store, quantity: int, unit: str | None, code: str
) -> None:
    shop(store, order_multiple="refuse")
    with pytest.raises(BillingError) as error:
        take(store, DAY, "standing", quantity=quantity, unit=unit)
    assert error.value.code == code
    assert [row["code"] for row in store.rows(select(rejected_inputs.c.code))] == [code]
    assert store.frame(select(item_versions)).is_empty()
    take(store, DAY, "standing", quantity=15)


@pytest.mark.parametrize(
    ("about", "code"),
    [
        ({"units": {"pallet": 0}}, "bad_factor"),
        ({"units": {"case": 2}}, "bad_factor"),
        ({"order_multiple": -1}, "negative_quantity"),
        ({"product_id": "nothing"}, "unknown_product"),
        ({"successor_sku_id": "nothing"}, "unknown_sku"),
    ],
)
def test_wrong_goods_are_refused(store: Store, about: dict[str, object], code: str) -> None:
    open_shop(store)
    wanted = {"sku_id": "s", "product_id": "goods", "name": "S", "base_unit": "case"} | about
    with pytest.raises(BillingError) as error:
        create_sku(store, OPENED, **wanted)  # type: ignore[arg-type]
    assert error.value.code == code
    assert store.frame(select(skus)).is_empty()


def test_a_plan_without_goods_has_no_units(store: Store) -> None:
    shop(store)
    catalog.create_plan(store, OPENED, plan_id="bare", name="Bare", product_id="goods")
    catalog.publish_plan_version(
        store, OPENED, plan_id="bare", interval="P1M", components=[catalog.NewComponent("fee", "fee")]
    )
    with pytest.raises(BillingError) as error:
        take(store, DAY, "bare", unit="case")
    assert error.value.code == "unknown_unit"


@given(
    quantity=st.decimals(0, 100_000, places=3),
    factor=st.integers(1, 500),
    minimum=st.integers(0, 200),
    multiple=st.integers(0, 60),
)
def test_a_delivery_is_the_least_quantity_that_fits(
    quantity: object, factor: int, minimum: int, multiple: int
) -> None:
    ordered = in_base_units(parse_quantity(str(quantity)), factor)
    got = delivered(ordered, minimum=minimum, multiple=multiple, setting="round_up")
    whole, exact = _fraction(got), Fraction(str(quantity)) * factor
    if exact == 0:
        assert whole == 0
        return
    assert whole >= max(exact, minimum)
    step = multiple or None
    if step:
        assert whole % step == 0
        assert whole - step < max(exact, minimum)
    else:
        assert whole == max(exact, minimum)


def _fraction(value: Scaled) -> Fraction:
    return Fraction(value.mantissa, 10**value.scale)


def test_goods_taken_as_an_add_on_are_ordered_in_units_too(store: Store) -> None:
    shop(store)
    paper = catalog.NewComponent("paper", "seat", sku_id="paper")
    of_add_on = catalog.NewPrice("extra.1.paper", "per_unit", "20.00")
    sell_alone(store, paper, of_add_on, plan_id="extra", in_advance=True, is_add_on=True)
    pallet = subscriptions.AddOn("extra", 1, "pallet")
    taken = subscriptions.subscribe(
        store, at(DAY), customer_id="anna", plan_id="standing", quantity=12, add_ons=[pallet]
    )
    subscriptions.add_item(
        store,
        at(DAY),
        subscription_id=taken.subscription_id,
        plan_id="extra",
        quantity="0.5",
        unit="pallet",
    )
    run(store, DAY)
    # 48 cases are 50 in steps of 5, 24 are 25.
    assert sorted(billed(store)) == [(15, 35_100), (25, 50_000), (50, 100_000)]
