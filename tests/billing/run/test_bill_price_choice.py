"""A run bills each component at the price chosen for it, and its line says which and why."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from shop import (
    OPENED,
    Part,
    at,
    item_of,
    join,
    lines,
    open_shop,
    parked,
    run,
    sell,
    take,
    use,
)
from sqlalchemy import func, select

from billing.core.money import BillingError
from billing.jobs.bill_run import preview
from billing.service import catalog, subscriptions
from billing.service.catalog import NewPrice
from billing.service.subscriptions import NewContract
from billing.store.store import Store
from billing.store.tables import item_versions, line_items, price_choices

DAY = date(2025, 1, 1)
PARTS = [
    Part("fee", "fee", "30.00"),
    Part("seat", "seat", "5.00", "per_unit"),
    Part("calls", "usage", "0.10", "per_unit"),
]


def price_list(
    store: Store, list_id: str, level: str, owner_id: str, *prices: NewPrice, **named: Any
) -> None:
    about = {"name": list_id, "currency": "EUR", "valid_start": date(2000, 1, 1), "level": level} | named
    catalog.create_price_list(store, OPENED, list_id=list_id, owner_id=owner_id, prices=prices, **about)


def shop(store: Store) -> Store:
    open_shop(store)
    sell(store, "plan", PARTS)
    join(store, "anna", group_id="wholesale")
    return store


def explained(store: Store) -> dict[str, Any]:
    """What the line of each component says of its price."""
    rows = store.rows(select(line_items.c.component_id, line_items.c.explanation))
    return {row["component_id"]: json.loads(row["explanation"])["price"] for row in rows}


def test_a_contract_that_prices_one_component_leaves_the_others_to_the_other_levels(store: Store) -> None:
    shop(store)
    price_list(store, "deal", "contract", "c", NewPrice("plan.1.seat", "per_unit", "3.50"))
    price_list(store, "own", "group", "wholesale", NewPrice("plan.1.calls", "per_unit", "0.08"))
    subscription_id = take(store, DAY, "plan", quantity=4, contract=NewContract(contract_id="c"))
    use(store, date(2025, 1, 9), item_of(store, subscription_id), date(2025, 1, 9), 50, "e")
    run(store, date(2025, 2, 1))
    january = [line for line in lines(store, "component_id", "service_start", "net_minor") if line[1] == DAY]
    # 30.00; 4 x 3.50; 50 x 0.08
    assert sorted((component, net) for component, _, net in january) == [
        ("plan.1.calls", 400),
        ("plan.1.fee", 3000),
        ("plan.1.seat", 1400),
    ]
    assert explained(store) == {
        "plan.1.fee": {"price_id": "plan-EUR.plan.1.fee", "level": "list", "list_id": "plan-EUR"},
        "plan.1.seat": {
            "price_id": "deal.plan.1.seat",
            "level": "contract",
            "list_id": "deal",
            "not_taken": [{"price_id": "plan-EUR.plan.1.seat", "level": "list", "reason": "later_level"}],
        },
        "plan.1.calls": {
            "price_id": "own.plan.1.calls",
            "level": "group",
            "list_id": "own",
            "not_taken": [{"price_id": "plan-EUR.plan.1.calls", "level": "list", "reason": "later_level"}],
        },
    }


def test_more_seats_reach_a_break_and_fewer_leave_it(store: Store) -> None:
    shop(store)
    breaks = [
        NewPrice("plan.1.seat", "per_unit", "4.50"),
        NewPrice("plan.1.seat", "per_unit", "4.00", quantity_from=10),
    ]
    price_list(store, "own", "customer", "anna", *breaks)
    subscription_id = take(store, DAY, "plan", quantity=9)
    subscriptions.change_quantity(store, at(DAY), subscription_id=subscription_id, quantity=10)
    run(store, DAY)
    seats = [line[4] for line in lines(store) if line[0] == "plan.1.seat"]
    assert seats == [4000]
    assert explained(store)["plan.1.seat"]["price_id"] == "own.plan.1.seat.from-10"
    # From 1 February 8 seats at 4.50.
    subscriptions.change_quantity(
        store, at(date(2025, 1, 20)), subscription_id=subscription_id, quantity=8, when="period_end"
    )
    run(store, date(2025, 2, 1))
    assert [line[4] for line in lines(store) if line[0] == "plan.1.seat"] == [4000, 3600]


def test_a_new_list_does_not_reach_a_running_version_through_its_quantity(store: Store) -> None:
    shop(store)
    subscription_id = take(store, DAY, "plan", quantity=2)
    price_list(store, "own", "customer", "anna", NewPrice("plan.1.seat", "per_unit", "1.00"))
    subscriptions.change_quantity(store, at(DAY), subscription_id=subscription_id, quantity=3)
    run(store, DAY)
    assert [line[4] for line in lines(store) if line[0] == "plan.1.seat"] == [1500]


@pytest.mark.parametrize(
    ("valid_end", "currency", "code"),
    [(date(2024, 12, 31), "EUR", "no_price"), (None, "USD", "currency_mismatch")],
)
def test_a_component_without_a_price_is_refused(
    store: Store, valid_end: date | None, currency: str, code: str
) -> None:
    open_shop(store)
    catalog.create_plan(store, OPENED, plan_id="p", name="P", product_id="goods")
    parts = [catalog.NewComponent("fee", "fee"), catalog.NewComponent("seat", "seat")]
    catalog.publish_plan_version(store, OPENED, plan_id="p", interval="P1M", components=parts)
    join(store, "anna")
    price_list(store, "fees", "customer", "anna", NewPrice("p.1.fee", "flat", "1"))
    price_list(
        store,
        "seats",
        "customer",
        "anna",
        NewPrice("p.1.seat", "per_unit", "1"),
        valid_end=valid_end,
        currency=currency,
    )
    with pytest.raises(BillingError) as error:
        take(store, DAY, "p")
    assert error.value.code == code
    assert store.frame(select(item_versions)).is_empty()
    assert store.frame(select(price_choices)).is_empty()


def test_a_preview_shows_the_same_price_and_reason_as_the_run(store: Store) -> None:
    shop(store)
    price_list(store, "deal", "contract", "c", NewPrice("plan.1.seat", "per_unit", "3.50"))
    take(store, DAY, "plan", quantity=4, contract=NewContract(contract_id="c"))
    shown = preview(store, at(DAY), customer_id="anna", up_to=DAY).lines
    run(store, DAY)
    posted = store.frame(select(line_items)).sort("line_id")
    columns = ["component_id", "price_id", "net_minor", "explanation"]
    assert shown.select(columns).rows() == posted.select(columns).rows()
    assert parked(store) == {}


def test_customers_on_the_same_prices_share_one_choice(store: Store) -> None:
    shop(store)
    for number in range(20):
        join(store, f"c{number}")
        take(store, DAY, "plan", f"c{number}", quantity=number)
    row = store.row(select(func.count().label("rows")).select_from(price_choices))
    assert row == {"rows": 3}
