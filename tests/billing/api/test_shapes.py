"""What bodies take, and nothing else: no column that is not listed, no word for a number, no null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import world
from callers import ALL, client
from fastapi import FastAPI
from fastapi.testclient import TestClient
from specification import body_of, method_of, routes_of
from test_isolation import address, call, ids_of, sent_to

from billing.core.policy import Policy
from billing.store import tables
from billing.web.context import Caller

SECRET = ("cause", "decided_by", "gateway_ref", "tax_number_confirmed_on", "token_hash", "key_hash")


@pytest.fixture(scope="module")
def both(api_over_world: Any) -> Iterator[tuple[FastAPI, world.World]]:
    bound = Caller("key", "a", "a", ALL, customer_id="a-head")
    with api_over_world(bound, Caller("key", "plain", "plain", frozenset(("*:write",)))) as opened:
        yield opened


@pytest.fixture
def merchant(both: tuple[FastAPI, world.World]) -> TestClient:
    return client(both[0], "merchant")


def test_no_column_is_written_that_a_body_does_not_list(both: tuple[FastAPI, world.World]) -> None:
    """Every column of every table, by every route that takes a body."""
    app, made = both
    who, own = client(app, "merchant"), ids_of(made.a)
    columns = sorted({column.name for table in tables.metadata.tables.values() for column in table.c})
    for route in routes_of(app):
        found = sent_to(app, route, own)
        if found is None or not found[1]:
            continue
        foreign = [name for name in (*columns, *SECRET) if name not in found[1]]
        body = found[0] | dict.fromkeys(foreign, "x")
        answer = call(who, route, address(route, own), body)
        said = answer.json()
        assert answer.status_code == 422, (route.path, answer.text)
        assert {one["field"] for one in said["errors"]} >= set(foreign), route.path


@pytest.mark.parametrize("name", ["cause", "decided_by", "gateway_ref", "tax_number_confirmed_on"])
def test_what_only_we_say_is_in_no_body(both: tuple[FastAPI, world.World], name: str) -> None:
    for route in routes_of(both[0]):
        found = body_of(both[0], route)
        assert found is None or name not in found[1], route.path


@pytest.mark.parametrize("member", ["credit_limit_minor", "hold", "policy_name", "is_test"])
def test_members_of_the_administration_need_its_scope(both: tuple[FastAPI, world.World], member: str) -> None:
    app, made = both
    value = {"credit_limit_minor": 5, "hold": False, "policy_name": "default", "is_test": False}[member]
    path = f"/v1/customers/{made.a.head}"
    refused = client(app, "plain").patch(path, json={member: value}, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["field"]) == (403, member)
    assert client(app, "merchant").patch(path, json={member: value}, headers={"If-Match": "*"}).is_success


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("credit_limit_minor", 10**9),
        ("parent_id", None),
        ("bill_to_id", "b-head"),
        ("terms_id", "net14"),
        ("country", "CH"),
        ("collection", "terms"),
    ],
)
def test_no_customer_decides_what_it_pays_and_who(
    both: tuple[FastAPI, world.World], member: str, value: object
) -> None:
    app, made = both
    path = f"/v1/customers/{made.a.head}"
    refused = client(app, "a").patch(path, json={member: value}, headers={"If-Match": "*"})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    own = client(app, "a").patch(path, json={"locale": "ar"}, headers={"If-Match": "*"})
    assert own.json()["locale"] == "ar"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": None}, "name"),
        ({"time_zone": None}, "time_zone"),
        ({"name": 5}, "name"),
        ({"name": ""}, "name"),
        ({"credit_limit_minor": "5"}, "credit_limit_minor"),
        ({"credit_limit_minor": 5.0}, "credit_limit_minor"),
        ({"credit_limit_minor": -1}, "credit_limit_minor"),
        ({"hold": "true"}, "hold"),
        ({"hold": 1}, "hold"),
        ({"collection": "never"}, "collection"),
        ({"country": "de"}, "country"),
    ],
)
def test_a_member_of_a_wrong_form_is_named(
    both: tuple[FastAPI, world.World], merchant: TestClient, body: dict[str, Any], field: str
) -> None:
    answer = merchant.patch(f"/v1/customers/{both[1].a.head}", json=body, headers={"If-Match": "*"})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"entity_id": "nobody"}, "unknown_entity", "entity_id"),
        ({"parent_id": "nobody"}, "unknown_customer", "parent_id"),
        ({"currency": "XXQ"}, "unknown_currency", "currency"),
        ({"time_zone": "Mars/Olympus"}, "unknown_time_zone", "time_zone"),
        ({"customer_id": "a-head"}, "immutable", None),
    ],
)
def test_what_the_engine_refuses_is_told_with_its_code(
    merchant: TestClient, body: dict[str, Any], code: str, field: str | None
) -> None:
    about = {"name": "New", "entity_id": "seller", "currency": "EUR", "country": "DE"}
    answer = merchant.post("/v1/customers", json=about | body)
    assert answer.json()["code"] == code
    assert answer.status_code == (409 if code == "immutable" else 422)


def test_every_setting_of_a_policy_can_be_set(merchant: TestClient) -> None:
    settings = {name: getattr(Policy(), name) for name in Policy.__dataclass_fields__}
    answer = merchant.post(
        "/v1/policies", json={"name": "same", "valid_from": "2025-01-01", "settings": settings}
    )
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert {name: shown[name] for name in settings} == settings


def test_no_list_is_taken_for_narrower_than_it_is(both: tuple[FastAPI, world.World]) -> None:
    """A parameter that a route does not know, or that comes twice, is refused by every route."""
    app, made = both
    who, own = client(app, "merchant"), ids_of(made.a)
    for route in routes_of(app):
        if method_of(route) == "GET":
            answer = who.get(address(route, own), params={"nobody_knows": "1"})
            assert (answer.status_code, answer.json()["field"]) == (400, "nobody_knows"), route.path
    for query in ("customer_id=a-head&customer_id=b-head", "costumer_id=a-head", "limit=1&limit=2"):
        answer = who.get(f"/v1/invoices?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_parameter"), query
    assert who.post("/v1/bulk?x=1", json={"operations": []}).status_code in (400, 422)
    assert who.get("/v1/invoice-sums?customer_id=a-head&customer_id=b-head").status_code == 200
