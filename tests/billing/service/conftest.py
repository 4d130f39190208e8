"""A small company for tests of acts: a seller, plans in two currencies, an add-on."""

from __future__ import annotations

import pytest
from small_offer import FEE, FIRST, SEATS, open_offer, price_in, sell

from billing.service.catalog import NewComponent, NewPrice, add_prices
from billing.service.customers import create_customer
from billing.store.store import Store


@pytest.fixture
def company(store: Store) -> Store:
    """The plans of small_offer with pro at 5.00 a seat and with calls, pro-yearly (240.00 + 50.00 a seat) and
    add-on support (30.00), all in EUR; basic in USD too. Customer anna pays EUR."""
    open_offer(store, NewComponent("calls", "usage", "calls"))
    sell(store, "pro-yearly", FEE, SEATS, interval="P1Y")
    prices = [
        NewPrice("pro.1.seats", "per_unit", "5"),
        NewPrice("pro.1.calls", "per_unit", "0.000125"),
        NewPrice("pro-yearly.1.fee", "flat", "240"),
        NewPrice("pro-yearly.1.seats", "per_unit", "50"),
        NewPrice("support.1.fee", "flat", "30"),
    ]
    add_prices(store, FIRST, list_id="standard", prices=prices)
    dollars = (NewPrice("basic.1.fee", "flat", "11"), NewPrice("basic.1.seats", "per_unit", "6"))
    price_in(store, "dollars", "USD", *dollars)
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
