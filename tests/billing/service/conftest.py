"""A small company for tests of acts: a seller, plans in two currencies, an add-on."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from billing.service.catalog import (
    NewComponent,
    NewPrice,
    NewTier,
    create_legal_entity,
    create_meter,
    create_plan,
    create_price_list,
    create_product,
    publish_plan_version,
)
from billing.service.customers import create_customer
from billing.store.store import Store

FIRST = datetime(2025, 1, 1, 8, tzinfo=UTC)


@pytest.fixture
def company(store: Store) -> Store:
    """Plans basic (10.00 + 5.00 a seat to 10, then 4.00), pro (25.00 + 5.00 a seat, and calls), pro-yearly
    (240.00 + 50.00 a seat), add-on support (30.00), all in EUR; basic in USD too. Customer anna pays EUR."""
    create_legal_entity(store, FIRST, entity_id="seller", name="Seller GmbH", country="DE")
    create_product(store, FIRST, product_id="goods", name="Goods")
    create_meter(store, FIRST, meter_id="calls", name="Calls", scale=3)
    for plan_id, interval in (("basic", "P1M"), ("pro", "P1M"), ("pro-yearly", "P1Y")):
        create_plan(store, FIRST, plan_id=plan_id, name=plan_id.title(), product_id="goods")
        parts = [NewComponent("fee", "fee"), NewComponent("seats", "seat")]
        if plan_id == "pro":
            parts.append(NewComponent("calls", "usage", "calls"))
        publish_plan_version(store, FIRST, plan_id=plan_id, interval=interval, components=parts)
    create_plan(store, FIRST, plan_id="support", name="Support", product_id="goods", is_add_on=True)
    publish_plan_version(
        store, FIRST, plan_id="support", interval="P1M", components=[NewComponent("fee", "fee")]
    )
    steps = (NewTier(10, "5"), NewTier(None, "4"))
    create_price_list(
        store,
        FIRST,
        list_id="standard",
        name="Standard",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        prices=[
            NewPrice("basic.1.fee", "flat", "10"),
            NewPrice("basic.1.seats", "graduated", tiers=steps),
            NewPrice("pro.1.fee", "flat", "25"),
            NewPrice("pro.1.seats", "per_unit", "5"),
            NewPrice("pro.1.calls", "per_unit", "0.000125"),
            NewPrice("pro-yearly.1.fee", "flat", "240"),
            NewPrice("pro-yearly.1.seats", "per_unit", "50"),
            NewPrice("support.1.fee", "flat", "30"),
        ],
    )
    create_price_list(
        store,
        FIRST,
        list_id="dollars",
        name="Dollars",
        currency="USD",
        valid_start=date(2020, 1, 1),
        prices=[NewPrice("basic.1.fee", "flat", "11"), NewPrice("basic.1.seats", "per_unit", "6")],
    )
    create_customer(
        store,
        FIRST,
        customer_id="anna",
        name="Anna",
        entity_id="seller",
        currency="EUR",
        country="DE",
    )
    return store
