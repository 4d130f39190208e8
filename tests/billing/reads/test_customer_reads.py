"""Customers, price lists and offers as they are read, on both databases."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from small_offer import FIRST, STEPS, open_offer

from billing.core.money import BillingError
from billing.reads import catalog, customers, offers
from billing.reads.scope import everything, scope_of
from billing.service import parties
from billing.service.catalog import NewPrice, add_prices, create_price_list
from billing.service.customers import change_customer, create_customer
from billing.service.subscriptions import subscribe
from billing.store.store import Store

ALL: dict[str, Any] = {"after": None, "limit": 200}
NAMES = {"c1": "Ärmel AG", "c2": "ärger", "c3": "Zebra", "c4": "zebra 2", "c5": "ZEB_A", "c6": "Arm"}


@pytest.fixture
def filled(store: Store) -> Store:
    """Six customers in a row below each other: c1 above c2 above c3 …"""
    open_offer(store)
    above = None
    for customer_id, name in NAMES.items():
        about = {"entity_id": "seller", "currency": "EUR", "country": "DE", "parent_id": above}
        create_customer(store, FIRST, customer_id=customer_id, name=name, **about)
        above = customer_id
    return store


def ids(found: Any) -> list[str]:
    return [row["customer_id"] for row in found.rows]


def test_names_are_found_by_how_they_begin_whatever_their_case(filled: Store) -> None:
    for start, expected in (
        ("zEb", ["c5", "c3", "c4"]),
        ("zebra", ["c3", "c4"]),
        ("zeb_", ["c5"]),
        ("zeb%", []),
        ("ar", ["c6"]),
        ("ärg", ["c2"]),
        ("x", []),
    ):
        assert ids(customers.customers(filled, everything(), **ALL, name=start)) == expected
        seen: list[str] = []
        after = None
        while len(seen) < len(expected):
            page = customers.customers(filled, everything(), after=after, limit=1, name=start)
            seen, after = seen + ids(page), page.after
        assert (seen, after) == (expected, None)


def test_a_tree_is_walked_from_anywhere_and_no_further_than_a_scope(filled: Store) -> None:
    tree = customers.tree(filled, everything(), customer_id="c3")
    assert [row["customer_id"] for row in tree] == ["c3", "c4", "c5", "c6"]
    scope = scope_of(filled, customer_id="c4", with_children=True)
    assert [row["customer_id"] for row in customers.tree(filled, scope, customer_id="c5")] == ["c5", "c6"]
    assert customers.tree(filled, scope, customer_id="c3") == []
    assert ids(customers.customers(filled, scope, **ALL)) == ["c4", "c5", "c6"]
    assert ids(customers.customers(filled, scope, **ALL, parent_id="c3")) == ["c4"]


def test_pages_by_change_hold_each_once(filled: Store) -> None:
    later = FIRST + timedelta(days=1)
    for number, customer_id in enumerate(("c5", "c2")):
        change_customer(filled, later + timedelta(seconds=number), customer_id=customer_id, locale="ar")
    seen: list[str] = []
    after = None
    while True:
        page = customers.customers(filled, everything(), after=after, limit=2, changed_since=FIRST)
        seen += ids(page)
        after = page.after
        if after is None:
            break
    assert seen == ["c1", "c3", "c4", "c6", "c5", "c2"]
    assert ids(customers.customers(filled, everything(), **ALL, changed_since=later)) == ["c5", "c2"]


def test_of_addresses_the_one_that_holds_on_a_day_is_told(filled: Store) -> None:
    def move(city: str, on: date, at: datetime = FIRST, role: str = "bill_to") -> None:
        where = {"lines": ["1"], "country": "DE", "customer_id": "c1", "role": role}
        parties.set_customer_address(filled, at, city=city, valid_from=on, **where)

    new_year, leap = date(2024, 1, 1), date(2024, 2, 29)
    move("Kiel", new_year)
    move("Bonn", leap)
    move("Jena", leap, FIRST + timedelta(hours=1))
    move("Ulm", new_year, role="ship_to")
    for on, cities in (
        (date(2023, 12, 31), []),
        (new_year, ["Kiel", "Ulm"]),
        (date(2024, 2, 28), ["Kiel", "Ulm"]),
        (leap, ["Jena", "Ulm"]),
    ):
        held = customers.addresses(filled, everything(), **ALL, customer_id="c1", on=on)
        assert sorted(row["city"] for row in held.rows) == cities


def test_an_offer_is_priced_as_an_order_would_be(filled: Store) -> None:
    prices = [NewPrice("pro.1.seats", "per_unit", "5"), NewPrice("support.1.fee", "flat", "30")]
    add_prices(filled, FIRST, list_id="standard", prices=prices)
    create_price_list(
        filled,
        FIRST,
        list_id="own",
        name="Own",
        currency="EUR",
        valid_start=date(2020, 1, 1),
        level="customer",
        owner_id="c1",
        prices=[NewPrice("pro.1.fee", "flat", "20")],
    )
    subscribe(filled, FIRST, customer_id="c1", plan_id="basic", subscription_id="sub")
    scope = scope_of(filled, customer_id="c1", with_children=False)
    found = offers.offers(filled, FIRST, scope, customer_id="c1", subscription_id="sub")
    assert [(one.plan_id, one.is_current, one.is_add_on) for one in found] == [
        ("basic", True, False),
        ("pro", False, False),
        ("support", False, True),
    ]
    pro = {part.name: part.terms["price"] for part in found[1].components}
    assert pro == {"fee": "20", "seats": "5"}
    tiers = found[0].components[1].terms["tiers"]
    assert [(tier["up_to"], tier["unit"]) for tier in tiers] == [(step.up_to, step.unit) for step in STEPS]
    for named, code in (
        ({"customer_id": "c2"}, "unknown_customer"),
        ({"customer_id": "c1", "subscription_id": "none"}, "unknown_subscription"),
    ):
        with pytest.raises(BillingError, match=code):
            offers.offers(filled, FIRST, scope, **named)


def test_price_lists_of_others_are_not_seen(filled: Store) -> None:
    for owner_id, level in (("c1", "customer"), ("c2", "customer"), ("g", "group"), ("k", "contract")):
        create_price_list(
            filled,
            FIRST,
            list_id=f"of-{owner_id}",
            name=owner_id,
            currency="EUR",
            valid_start=date(2020, 1, 1),
            level=level,
            owner_id=owner_id,
        )
    scope = scope_of(filled, customer_id="c2", with_children=False)
    found = catalog.price_lists(filled, scope, **ALL)
    assert [row["list_id"] for row in found.rows] == ["of-c2", "standard"]
    assert catalog.price_list(filled, scope, list_id="of-c1") is None
    assert len(catalog.price_lists(filled, everything(), **ALL).rows) == 5
