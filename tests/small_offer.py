"""What a small company sells, whoever tests with it: one product, as two plans and an add-on in EUR."""

from __future__ import annotations

from datetime import UTC, date, datetime

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
from billing.store.store import Store

FIRST = datetime(2025, 1, 1, 8, tzinfo=UTC)
FEE, SEATS = NewComponent("fee", "fee"), NewComponent("seats", "seat")
STEPS = (NewTier(10, "5"), NewTier(None, "4"))


def open_offer(store: Store, *more_of_pro: NewComponent) -> None:
    """Monthly plans basic (10.00 + 5.00 a seat to 10, then 4.00) and pro (25.00, seats and `more_of_pro`),
    and add-on support. What the seats of pro and the add-on cost is for whoever tests with it."""
    create_legal_entity(store, FIRST, entity_id="seller", name="Seller GmbH", country="DE")
    create_product(store, FIRST, product_id="goods", name="Goods")
    create_meter(store, FIRST, meter_id="calls", name="Calls", scale=3)
    sell(store, "basic", FEE, SEATS)
    sell(store, "pro", FEE, SEATS, *more_of_pro)
    sell(store, "support", FEE, is_add_on=True)
    price_in(
        store,
        "standard",
        "EUR",
        NewPrice("basic.1.fee", "flat", "10"),
        NewPrice("basic.1.seats", "graduated", tiers=STEPS),
        NewPrice("pro.1.fee", "flat", "25"),
    )


def sell(
    store: Store, plan_id: str, *parts: NewComponent, interval: str = "P1M", is_add_on: bool = False
) -> None:
    """A plan with its first version."""
    create_plan(store, FIRST, plan_id=plan_id, name=plan_id.title(), product_id="goods", is_add_on=is_add_on)
    publish_plan_version(store, FIRST, plan_id=plan_id, interval=interval, components=parts)


def price_in(store: Store, list_id: str, currency: str, *prices: NewPrice) -> None:
    """A price list that holds since 2020."""
    create_price_list(
        store,
        FIRST,
        list_id=list_id,
        name=list_id.title(),
        currency=currency,
        valid_start=date(2020, 1, 1),
        prices=prices,
    )
