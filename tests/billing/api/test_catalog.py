"""The catalogue through the API: what is published is shown in the words it was published in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from callers import ALL, client
from fastapi.testclient import TestClient

from billing.web.context import Caller


@pytest.fixture(scope="module")
def doors(api_over_world: Any) -> Iterator[tuple[TestClient, TestClient]]:
    """The merchant's client, and company A's own."""
    bound = Caller("key", "a", "a", ALL, customer_id="a-head")
    with api_over_world(bound) as (app, _made):
        yield client(app, "merchant"), client(app, "a")


@pytest.fixture
def merchant(doors: tuple[TestClient, TestClient]) -> TestClient:
    return doors[0]


@pytest.fixture
def head(doors: tuple[TestClient, TestClient]) -> TestClient:
    return doors[1]


def made(answer: Any) -> Any:
    assert answer.status_code == 201, answer.text
    return answer.json()


ONE_OF_EACH = [
    ("/legal-entities", {"entity_id": "fr", "name": "Seller SARL", "country": "FR", "tax_number": "FR1"}),
    ("/tax-rates", {"country": "FR", "tax_rate_ppm": 200_000, "valid_from": "2024-02-29"}),
    ("/payment-terms", {"terms_id": "2-10", "net_days": 30, "discount_ppm": 20_000, "discount_days": 10}),
    ("/products", {"product_id": "tea", "name": "شاي", "category": "reduced"}),
    ("/skus", {"sku_id": "leaves", "product_id": "goods", "name": "Leaves", "base_unit": "tin"}),
    ("/meters", {"meter_id": "hours", "name": "Hours", "aggregation": "max", "scale": 2, "unit": "hour"}),
    ("/plans", {"plan_id": "gold", "name": "Gold", "product_id": "goods", "tier": "gold"}),
    ("/discounts", {"discount_id": "ninety", "name": "90", "amount_minor": 9000, "currency": "JPY"}),
    ("/price-lists", {"list_id": "empty", "name": "E", "currency": "USD", "valid_start": "2025-01-01"}),
]


@pytest.mark.parametrize(("path", "body"), ONE_OF_EACH)
def test_what_is_made_is_shown_listed_and_made_once(
    merchant: TestClient, path: str, body: dict[str, Any]
) -> None:
    answer = merchant.post(f"/v1{path}", json=body)
    shown = made(answer)
    assert {name: shown[name] for name in body} == body
    if "location" in answer.headers:
        assert merchant.get(answer.headers["location"]).json() == shown
    rows: list[Any] = []
    page = {"next": ""}
    while page["next"] is not None:
        asked = {"limit": 3} | ({"after": page["next"]} if page["next"] else {})
        page = merchant.get(f"/v1{path}", params=asked).json()
        rows += page["data"]
    assert shown in rows
    twice = merchant.post(f"/v1{path}", json=body)
    assert (twice.status_code, twice.json()["code"]) == (409, "immutable")


@pytest.mark.parametrize(("path", "body"), ONE_OF_EACH)
def test_only_the_merchant_publishes(head: TestClient, path: str, body: dict[str, Any]) -> None:
    refused = head.post(f"/v1{path}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


def test_a_seller_gets_an_account_and_an_address(merchant: TestClient) -> None:
    path = "/v1/legal-entities/seller"
    changed = merchant.patch(path, json={"iban": "DE89 3704 0044 0532 0130 00", "bic": "COBADEFFXXX"})
    assert (changed.json()["iban"], changed.json()["name"]) == ("DE89370400440532013000", "Seller GmbH")
    wrong = merchant.patch(path, json={"iban": "DE89 3704 0044 0532 0130 01"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_account")
    where = {"lines": ["Hof 3"], "city": "Kiel", "country": "DE", "valid_from": "2025-01-01"}
    assert made(merchant.post(f"{path}/addresses", json=where))["entity_id"] == "seller"
    assert merchant.post("/v1/legal-entities/none/addresses", json=where).status_code == 404


def test_goods_have_their_units(merchant: TestClient) -> None:
    assert merchant.get("/v1/skus/paper").json()["units"] == {"case": 1, "pallet": 48}
    bad = {"sku_id": "x", "product_id": "goods", "name": "X", "base_unit": "bag", "units": {"box": 0}}
    assert merchant.post("/v1/skus", json=bad).json()["code"] == "bad_factor"


PARTS = [
    {"name": "fee", "kind": "fee"},
    {"name": "seats", "kind": "seat"},
    {"name": "calls", "kind": "usage", "meter_id": "calls"},
]
PRICES: list[dict[str, Any]] = [
    {"component_id": "full.1.fee", "model": "flat", "price": "99.9", "maximum_spend_minor": 12_000},
    {
        "component_id": "full.1.seats",
        "model": "graduated",
        "tiers": [{"up_to": 10, "unit": "5", "flat": "2.5"}, {"unit": "0.000125"}],
        "quantity_from": 3,
    },
    {
        "component_id": "full.1.calls",
        "model": "percentage",
        "rate_percent": "2.99",
        "fee_per_event": "0.3",
        "free_events": 4,
        "min_per_event": "0.01",
        "minimum_spend_minor": 500,
    },
]


def test_a_plan_is_published_and_priced_and_its_prices_are_shown_as_they_were_said(
    merchant: TestClient, head: TestClient
) -> None:
    made(merchant.post("/v1/plans", json={"plan_id": "full", "name": "Full", "product_id": "goods"}))
    assert merchant.get("/v1/plans/full", params={"expand": "current"}).json()["current"] is None
    body = {
        "interval": "P3M",
        "components": PARTS,
        "in_advance": False,
        "thresholds": [
            {"currency": "EUR", "amount_minor": 20_000},
            {"currency": "EUR", "amount_minor": 50_000},
        ],
    }
    version = made(merchant.post("/v1/plans/full/versions", json=body))
    assert [part["component_id"] for part in version["components"]] == [one["component_id"] for one in PRICES]
    assert (version["version"], version["thresholds"]) == (1, body["thresholds"])
    assert head.get("/v1/plans/full", params={"expand": "current"}).json()["current"] == version
    offer = {"list_id": "full-eur", "name": "F", "currency": "EUR", "valid_start": "2025-01-01"}
    made(merchant.post("/v1/price-lists", json=offer | {"prices": PRICES[:1]}))
    assert merchant.post("/v1/price-lists/full-eur/prices", json={"prices": PRICES[1:]}).status_code == 204
    shown = {row["component_id"]: row for row in head.get("/v1/price-lists/full-eur/prices").json()["data"]}
    for said in PRICES:
        price = shown[said["component_id"]]
        assert {name: price[name] for name in said if name != "tiers"} == {
            name: value for name, value in said.items() if name != "tiers"
        }
        tiers = said.get("tiers", [])
        nothing = {"up_to": None, "flat": "0", "rate_percent": None, "size": None, "max_blocks": None}
        assert price["tiers"] == [nothing | tier for tier in tiers]
        assert head.get(f"/v1/prices/{price['price_id']}").json() == price
    assert [
        row["price_id"]
        for row in head.get("/v1/prices", params={"component_id": "full.1.fee"}).json()["data"]
    ] == ["full-eur.full.1.fee"]


@pytest.mark.parametrize(
    ("price", "code", "status"),
    [
        ({"model": "flat", "price": 9.5}, "invalid", 422),
        ({"model": "flat", "price": "-1"}, "negative_price", 422),
        ({"model": "flat", "price": "1.0000000000001"}, "too_many_decimals", 422),
        ({"model": "flat", "price": "1e3"}, "bad_decimal", 422),
        ({"model": "flat"}, "bad_decimal", 422),
        ({"model": "flat", "price": "1", "tiers": [{"unit": "1"}]}, "bad_tiers", 422),
        ({"model": "graduated", "tiers": [{"up_to": 5, "unit": "1"}]}, "bad_tiers", 422),
        (
            {"model": "flat", "price": "1", "minimum_spend_minor": 2, "maximum_spend_minor": 1},
            "bad_bounds",
            422,
        ),
        ({"model": "free", "price": "1"}, "invalid", 422),
    ],
)
def test_a_price_that_cannot_be_is_refused(
    merchant: TestClient, price: dict[str, Any], code: str, status: int
) -> None:
    body = {"prices": [{"component_id": "support.1.fee", "price_id": "never"} | price]}
    answer = merchant.post("/v1/price-lists/standard/prices", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert merchant.get("/v1/prices/never").status_code == 404


def test_a_quantity_is_tried_under_a_price(head: TestClient) -> None:
    """Basic: 5.00 a seat to 10, then 4.00."""
    tried = head.post("/v1/prices/standard.basic.1.seats/try", json={"quantity": "12.5"}).json()
    assert (tried["exact"], tried["posted_minor"], tried["currency"]) == ("60", 6000, "EUR")
    assert [(step["first"], step["last"], step["units"], step["amount"]) for step in tried["steps"]] == [
        (1, 10, "10", "50"),
        (11, None, "2.5", "10"),
    ]
    for quantity, code in (("-1", "negative_quantity"), ("many", "bad_decimal")):
        refused = head.post("/v1/prices/standard.basic.1.seats/try", json={"quantity": quantity})
        assert (refused.status_code, refused.json()["code"]) == (422, code)


def test_a_quote_takes_the_customers_own_price_and_says_why_not_the_others(
    merchant: TestClient, head: TestClient
) -> None:
    """A pays 22.00 instead of 25.00, and 5.00 a seat."""
    asked = {"customer_id": "a-head", "plan_id": "pro", "quantity": "3"}
    quote = head.post("/v1/price-quotes", json=asked).json()
    assert {part["name"]: part["posted_minor"] for part in quote["components"]} == {
        "fee": 2200,
        "seats": 1500,
        "calls": None,
    }
    assert quote["not_taken"] == [
        {"price_id": "standard.pro.1.fee", "component_id": "pro.1.fee", "reason": "later_level"}
    ]
    shop = merchant.post("/v1/price-quotes", json=asked | {"customer_id": "a-shop"}).json()
    assert shop["components"][0]["posted_minor"] == 2500
    for change, code in (
        ({"plan_id": "none"}, "unknown_plan"),
        ({"on": "2019-12-31"}, "no_price"),
        ({"contract_id": "b-frame"}, "unknown_contract"),
        ({"quantity": "-1"}, "negative_quantity"),
    ):
        refused = head.post("/v1/price-quotes", json=asked | change)
        assert (refused.status_code, refused.json()["code"]) == (422, code)


def test_a_customer_sees_general_prices_and_its_own(merchant: TestClient, head: TestClient) -> None:
    lists = [row["list_id"] for row in merchant.get("/v1/price-lists").json()["data"]]
    seen = [row["list_id"] for row in head.get("/v1/price-lists").json()["data"]]
    assert set(lists) - set(seen) == {"b-list"}
    assert [row["discount_id"] for row in head.get("/v1/discounts").json()["data"]] == ["a-loyal"]
    for path in ("/v1/campaigns", "/v1/index-values", "/v1/policies"):
        assert head.get(path).json()["data"] == []


def test_an_index_is_published_month_by_month(merchant: TestClient) -> None:
    body = {"index_id": "hicp", "month": "2025-01-31", "value": "121.40", "published_on": "2025-02-14"}
    assert merchant.post("/v1/index-values", json=body).status_code == 204
    (row,) = merchant.get("/v1/index-values", params={"index_id": "hicp"}).json()["data"]
    assert (row["month"], row["value"]) == ("2025-01-01", "121.4")
    assert merchant.post("/v1/index-values", json=body).json()["code"] == "immutable"


def test_a_policy_is_the_one_before_with_some_settings_changed(merchant: TestClient) -> None:
    body = {"valid_from": "2025-04-01", "settings": {"grace_days": 3, "rounding": "half_even"}}
    new = made(merchant.post("/v1/policies", json=body))
    before, after = merchant.get("/v1/policies", params={"name": "default"}).json()["data"]
    assert after == new
    changed = {name for name in new if new[name] != before[name]}
    assert changed == {"version", "valid_from", "grace_days", "rounding", "recorded_at"}
    wrong = merchant.post("/v1/policies", json=body | {"settings": {"rounding": "sideways"}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown_setting")
