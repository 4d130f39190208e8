"""Customers, their wallets and their purchase orders through the API, as the merchant and as themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from callers import ALL, client
from fastapi.testclient import TestClient

from billing.gateways.tax_register import TaxAnswer
from billing.web.context import Caller

KEYED = {"Idempotency-Key": "once"}


@dataclass
class Doors:
    merchant: TestClient
    head: TestClient
    """Company A's own."""


@pytest.fixture
def doors(api_over_world: Any) -> Iterator[Doors]:
    bound = Caller("key", "a", "a", ALL, customer_id="a-head")
    with api_over_world(bound) as (app, _made):
        yield Doors(client(app, "merchant"), client(app, "a"))


def listed(answer: Any, key: str) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row[key] for row in answer.json()["data"]]


def test_a_customer_is_made_read_changed_and_remembered(doors: Doors) -> None:
    about = {"name": "Nora GmbH", "entity_id": "seller", "currency": "KWD", "country": "KW", "locale": "ar"}
    made = doors.merchant.post("/v1/customers", json=about)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert {name: shown[name] for name in about} == about
    assert (shown["object"], shown["created_on"], shown["bill_to_id"]) == (
        "customer",
        "2025-03-20",
        shown["customer_id"],
    )
    assert "next_bill_on" not in shown
    path = made.headers["location"]
    assert path == f"/v1/customers/{shown['customer_id']}"
    tag = doors.merchant.get(path).headers["etag"]
    changed = doors.merchant.patch(path, json={"name": "Nora AG"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["name"]) == (200, "Nora AG")
    late = doors.merchant.patch(path, json={"name": "Nora SE"}, headers={"If-Match": tag})
    assert (late.status_code, late.headers["etag"]) == (412, changed.headers["etag"])
    history = doors.merchant.get(f"{path}/history").json()["data"]
    assert [(row["revision"], row["name"]) for row in history] == [(1, "Nora AG"), (0, "Nora GmbH")]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["a-head", "a-shop", "b-head", "b-shop"]),
        ({"name": "a "}, ["a-head", "a-shop"]),
        ({"name": "A HEAD"}, ["a-head"]),
        ({"name": "%"}, []),
        ({"email": "BEA@B-shop.example"}, ["b-shop"]),
        ({"parent_id": "b-head"}, ["b-shop"]),
        ({"parent_id": "none"}, []),
        ({"root_id": "a-head"}, ["a-head", "a-shop"]),
        ({"overdue_state": "current"}, ["a-head", "b-head"]),
        ({"overdue_state": "suspended"}, ["a-shop", "b-shop"]),
        ({"is_parked": "true"}, []),
        ({"is_parked": "false", "root_id": "b-head"}, ["b-head", "b-shop"]),
        ({"changed_since": "2025-03-20T12:00:00Z"}, []),
    ],
)
def test_customers_are_found(doors: Doors, asked: dict[str, str], found: list[str]) -> None:
    assert listed(doors.merchant.get("/v1/customers", params=asked), "customer_id") == found


def test_pages_go_on_by_the_day_of_change_while_others_change(doors: Doors) -> None:
    asked = {"changed_since": "2025-01-01T00:00:00+01:00", "limit": "3"}
    first = doors.merchant.get("/v1/customers", params=asked).json()
    times = [row["changed_at"] for row in first["data"]]
    assert times == sorted(times)
    seen = [row["customer_id"] for row in first["data"]]
    doors.merchant.patch(f"/v1/customers/{seen[0]}", json={"locale": "de"}, headers={"If-Match": "*"})
    rest = doors.merchant.get("/v1/customers", params=asked | {"after": first["next"]}).json()
    again = [row["customer_id"] for row in rest["data"]]
    assert sorted(set(seen + again)) == ["a-head", "a-shop", "b-head", "b-shop"]
    assert (len(again), rest["next"]) == (2, None), "the one that changed meanwhile comes again, at the end"


def test_what_hangs_on_a_customer_is_shown_in_full(doors: Doors) -> None:
    wanted = "parent,payer,addresses,contacts,exposure"
    shop = doors.merchant.get("/v1/customers/a-shop", params={"expand": wanted}).json()
    assert (shop["parent"]["customer_id"], shop["payer"]["customer_id"]) == ("a-head", "a-shop")
    assert shop["addresses"][0]["lines"] == ["A Street 1"]
    assert shop["contacts"][0]["email"] == "bea@a-shop.example"
    head = doors.merchant.get("/v1/customers/a-head", params={"expand": "payment_methods"}).json()
    listed_by_themselves = doors.merchant.get("/v1/customers/a-head/payment-methods").json()["data"]
    assert head["payment_methods"] == listed_by_themselves
    assert len(listed_by_themselves) == 2
    owed = doors.merchant.get("/v1/customers/a-shop/exposure").json()
    assert shop["exposure"] == owed
    parts = [owed[f"{name}_minor"] for name in ("receivable", "draft", "usage", "ordered")]
    assert owed["exposure_minor"] == sum(parts) - owed["credit_minor"] > 0
    assert doors.merchant.get("/v1/customers/a-shop", params={"fields": "name"}).json() == {"name": "A Shop"}


def test_an_address_holds_from_its_day(doors: Doors) -> None:
    path = "/v1/customers/a-head/addresses"
    moved = doors.head.post(
        path, json={"lines": ["Ring 2"], "city": "Kiel", "country": "DE", "valid_from": "2025-03-01"}
    )
    assert moved.status_code == 201, moved.text
    assert moved.json()["lines"] == ["Ring 2"]
    for on, street in (("2025-02-28", "A Street 1"), ("2025-03-01", "Ring 2")):
        (held,) = doors.head.get(path, params={"on": on}).json()["data"]
        assert held["lines"] == [street]
    assert len(doors.head.get(path).json()["data"]) == 2
    assert doors.head.get(path, params={"role": "ship_to"}).json()["data"] == []
    abroad = {"lines": ["Rue 1"], "city": "Paris", "country": "FR", "role": "ship_to"}
    refused = doors.head.post(path, json=abroad)
    assert (refused.status_code, refused.json()["code"]) == (422, "country_mismatch")


def test_a_contact_comes_and_goes(doors: Doors) -> None:
    made = doors.head.post("/v1/customers/a-head/contacts", json={"name": "Cem", "role": "technical"})
    path = made.headers["location"]
    assert doors.head.get(path).json() == made.json()
    assert "Cem" in listed(doors.head.get("/v1/customers/a-head/contacts"), "name")
    gone = doors.head.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert doors.head.get(path).status_code == doors.head.delete(path).status_code == 404
    assert "Cem" not in listed(doors.head.get("/v1/customers/a-head/contacts"), "name")


def test_a_discount_is_given_and_ended_by_the_merchant(doors: Doors) -> None:
    path = "/v1/customers/a-shop/discounts"
    assert doors.head.post(path, json={"discount_id": "a-loyal"}).status_code == 403
    assert doors.merchant.post(path, json={"discount_id": "a-loyal"}).status_code == 204
    twice = doors.merchant.post(path, json={"discount_id": "a-loyal"})
    assert (twice.status_code, twice.json()["code"]) == (409, "version_overlap")
    assert listed(doors.head.get(path), "discount_id") == ["a-loyal"]
    assert doors.merchant.delete(f"{path}/a-loyal", params={"on": "2025-04-01"}).status_code == 204
    (held,) = doors.head.get(path).json()["data"]
    assert (held["valid_start"], held["valid_end"], held["discount_ppm"]) == (
        "2025-03-20",
        "2025-04-01",
        50_000,
    )
    none = doors.merchant.delete(f"{path}/b-loyal")
    assert (none.status_code, none.json()["code"]) == (404, "unknown_discount")


def test_a_campaign_is_chosen_and_taken_away(doors: Doors) -> None:
    about = {"name": "Small", "thresholds": [{"currency": "EUR", "threshold_minor": 5000}]}
    made = doors.merchant.post("/v1/campaigns", json=about | {"max_attempts": 3, "days_between": 7})
    assert (made.status_code, made.json()["thresholds"]) == (201, about["thresholds"])
    for chosen in (made.json()["campaign_id"], None):
        answer = doors.merchant.put("/v1/customers/a-shop/campaign", json={"campaign_id": chosen})
        assert answer.json()["campaign_id"] == chosen
    unknown = doors.merchant.put("/v1/customers/a-shop/campaign", json={"campaign_id": "none"})
    assert (unknown.status_code, unknown.json()["field"]) == (422, "campaign_id")


def test_a_tax_number_is_checked(api_over_world: Any) -> None:
    class Register:
        def look_up(self, country: str, tax_number: str) -> TaxAnswer:
            return TaxAnswer("valid" if tax_number == "DE136695976" else "invalid", "vies")

    with api_over_world(tax_register=Register()) as (app, _made):
        who, path = client(app, "merchant"), "/v1/customers/a-head"
        none = who.post(f"{path}/tax-number-check")
        assert (none.status_code, none.json()["field"]) == (422, "tax_number")
        for number, confirmed_on in (("DE136695976", "2025-03-20"), ("DE1", None)):
            who.patch(path, json={"tax_number": number}, headers={"If-Match": "*"})
            assert who.get(path).json()["tax_number_confirmed_on"] is None
            said = who.post(f"{path}/tax-number-check").json()
            assert (said["source"], said["confirmed_on"]) == ("vies", confirmed_on)
            assert who.get(path).json()["tax_number_confirmed_on"] == confirmed_on


# Wallets. The shop's of A: 5.00 given (until 2026), 7.00 given, less 1.50 drawn; 20.00 bought, not paid.


def test_a_wallet_shows_what_can_be_drawn_and_where_it_went(doors: Doors) -> None:
    wallet = doors.head.get("/v1/wallets/a-wallet", params={"expand": "balance"}).json()
    drawn = wallet["balance"]["minor"]
    moved = doors.head.get("/v1/wallets/a-wallet/movements").json()["data"]
    given = doors.head.get("/v1/wallets/a-wallet/grants").json()["data"]
    usable = sum(row["amount_minor"] for row in given if not row["is_paid"])
    assert drawn == usable - sum(row["amount_minor"] for row in moved)
    assert drawn == doors.head.get("/v1/wallets/a-wallet/balance").json()["minor"]
    later = doors.head.get("/v1/wallets/a-wallet/balance", params={"on": "2026-01-01"}).json()
    ends = wallet["balance"]["expiring"]
    assert later["minor"] == drawn - sum(one["minor"] for one in ends if one["expires_on"] <= "2026-01-01")


def test_balance_is_given_by_the_merchant_and_bought_by_the_customer(doors: Doors) -> None:
    about = {"customer_id": "a-head", "name": "Prepaid", "wallet_id": "gifts"}
    assert doors.head.post("/v1/wallets", json=about).status_code == 403
    assert doors.merchant.post("/v1/wallets", json=about).headers["location"] == "/v1/wallets/gifts"
    path, gift = "/v1/wallets/gifts", {"amount_minor": 150, "reason": "Sorry"}
    assert doors.head.post(f"{path}/grants", json=gift, headers=KEYED).status_code == 403
    assert doors.merchant.post(f"{path}/grants", json=gift).json()["code"] == "idempotency_key_missing"
    given = doors.merchant.post(f"{path}/grants", json=gift, headers=KEYED)
    assert (given.status_code, given.json()["amount_minor"]) == (201, 150)
    asked = {"amount_minor": 1000, "product_id": "goods"}
    bought = doors.head.post(f"{path}/top-ups", json=asked, headers={"Idempotency-Key": "other"})
    assert (bought.status_code, bought.json()["wallet_id"]) == (201, "gifts")
    assert doors.head.get(f"{path}/balance").json()["minor"] == 150, "what is bought counts once it is paid"
    closed = {"is_open": False, "settings": {}}
    assert doors.merchant.put("/v1/portal-tasks/top_up", json=closed).status_code == 200
    again = doors.head.post(f"{path}/top-ups", json=asked, headers={"Idempotency-Key": "other"})
    assert (again.status_code, again.json()) == (201, bought.json()), "what was done before is told again"
    third = {"Idempotency-Key": "third"}
    assert doors.head.post(f"{path}/top-ups", json=asked, headers=third).json()["code"] == "task_closed"
    assert doors.merchant.post(f"{path}/top-ups", json=asked, headers=third).status_code == 201


def test_who_gets_no_credit_is_given_no_balance_but_may_pay_with_what_it_has(doors: Doors) -> None:
    path = "/v1/wallets/a-wallet"
    gift = {"amount_minor": 150, "reason": "Sorry"}
    refused = doors.merchant.post(f"{path}/grants", json=gift, headers=KEYED)
    assert (refused.status_code, refused.json()["code"]) == (409, "overdue_restricted")
    before = doors.head.get(f"{path}/balance").json()["minor"]
    moved = doors.head.get(f"{path}/movements").json()["data"]
    draw = {"invoice_id": next(row["invoice_id"] for row in moved if row["kind"] == "draw")}
    left = doors.head.post(f"{path}/draws", json=draw | {"amount_minor": 50}, headers=KEYED)
    assert left.json()["minor"] == before - 50
    too_much = doors.head.post(
        f"{path}/draws", json=draw | {"amount_minor": 10**9}, headers={"Idempotency-Key": "other"}
    )
    assert (too_much.status_code, too_much.json()["code"]) == (422, "amount_out_of_range")


def test_a_wallet_is_opened_in_the_customers_currency_and_closed(doors: Doors) -> None:
    about = {"name": "Dinar", "entity_id": "seller", "currency": "KWD", "country": "KW"}
    customer_id = doors.merchant.post("/v1/customers", json=about).json()["customer_id"]
    amounts = {"low_balance_minor": 1500, "top_up_minor": 10_001, "product_id": "goods"}
    made = doors.merchant.post(
        "/v1/wallets", json={"customer_id": customer_id, "name": "Prepaid"} | amounts
    ).json()
    assert {name: made[name] for name in (*amounts, "currency")} == amounts | {"currency": "KWD"}
    closed = doors.merchant.post(f"/v1/wallets/{made['wallet_id']}/close")
    assert closed.json()["closed_on"] == "2025-03-20"
    again = doors.merchant.post(f"/v1/wallets/{made['wallet_id']}/close")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    half = {"customer_id": "a-head", "name": "Half", "top_up_minor": 5}
    assert doors.merchant.post("/v1/wallets", json=half).json()["code"] == "missing_value"


# Purchase orders and goods.


def test_a_purchase_order_is_made_changed_and_closed_by_the_customer(doors: Doors) -> None:
    about = {"customer_id": "a-head", "number": " PO-7 ", "budget_minor": 12_345}
    made = doors.head.post("/v1/purchase-orders", json=about)
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    shown = made.json()
    assert [shown[name] for name in ("number", "budget_minor", "billed_minor", "currency")] == [
        "PO-7",
        12_345,
        0,
        "EUR",
    ]
    twice = doors.head.post("/v1/purchase-orders", json=about)
    assert (twice.status_code, twice.json()["code"]) == (409, "immutable")
    tag = made.headers["etag"]
    freed = doors.head.patch(path, json={"budget_minor": None}, headers={"If-Match": tag})
    assert freed.json()["budget_minor"] is None
    assert doors.head.patch(path, json={"budget_minor": 5}, headers={"If-Match": tag}).status_code == 412
    closed = doors.head.post(f"{path}/close", json={"on": "2025-04-01"})
    assert closed.json()["valid_end"] == "2025-04-01"
    held = doors.head.get("/v1/purchase-orders", params={"valid_on": "2025-04-01"})
    assert listed(held, "po_id") == ["a-po"]


def test_goods_that_are_still_to_come_are_listed_and_what_arrived_is_reported(doors: Doors) -> None:
    """Fifteen cases were there: ten for A in January, five for B, and none in February."""
    (open_one,) = doors.head.get("/v1/backorders", params={"customer_id": "a-head"}).json()["data"]
    assert [open_one[name] for name in ("due_on", "ordered", "allocated", "open")] == [
        "2025-02-01",
        "10",
        "0",
        "10",
    ]
    (given_up,) = doors.merchant.get("/v1/shortfalls", params={"customer_id": "b-head"}).json()["data"]
    assert (given_up["kind"], given_up["quantity"]) == ("released", "5")
    report = {"order_id": given_up["order_id"], "delivered": "3"}
    assert doors.head.post("/v1/deliveries", json=report).status_code == 403
    assert doors.merchant.post("/v1/deliveries", json=report).status_code == 204
    asked = {"customer_id": "b-head", "limit": "1"}
    first = doors.merchant.get("/v1/shortfalls", params=asked).json()
    second = doors.merchant.get("/v1/shortfalls", params=asked | {"after": first["next"]}).json()
    assert first["data"] == [given_up]
    (short,) = second["data"]
    assert (short["quantity"], short["reason"], second["next"]) == ("2", "short_delivery", None)
    too_much = doors.merchant.post("/v1/deliveries", json=report | {"delivered": "6"})
    assert (too_much.status_code, too_much.json()["code"]) == (422, "over_delivery")
