"""Several requests in one: each has its own outcome, scopes, key and row in the list of calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from calling import api_of, caller, calls, new_key, open_company
from fastapi import FastAPI
from sqlalchemy import select

from billing.store.store import Store
from billing.store.tables import products, rejected_inputs


@pytest.fixture
def app(sqlite_store: Store, _sqlite_database: str) -> Iterator[FastAPI]:
    open_company(sqlite_store)
    with api_of(_sqlite_database) as app:
        yield app


def product(name: str, **more: Any) -> dict[str, Any]:
    body = {"product_id": name, "name": name}
    return {"method": "POST", "path": "/v1/products", "body": body} | more


def get(path: str) -> dict[str, Any]:
    return {"method": "GET", "path": path}


def sent(client: Any, *operations: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    answer = client.post("/v1/bulk", json={"operations": list(operations)}, headers=headers)
    assert answer.status_code == 207, answer.text
    return list(answer.json()["data"])


def made(store: Store) -> list[str]:
    return [row["product_id"] for row in store.rows(select(products).order_by(products.c.product_id))]


def test_each_request_has_its_own_outcome_in_the_order_given(app: FastAPI, sqlite_store: Store) -> None:
    client = caller(app, new_key(sqlite_store))
    alone = client.get("/v1/customers/anna")
    outcomes = sent(
        client,
        product("a"),
        product("a"),
        get("/v1/customers/anna"),
        get("/v1/customers/nobody"),
        get("/v1/nowhere"),
        {"method": "POST", "path": "/v1/products", "body": {"name": 3}},
        {"method": "DELETE", "path": "/v1/customers"},
        product("b"),
    )
    assert [one["status"] for one in outcomes] == [201, 409, 200, 404, 404, 422, 405, 201]
    assert outcomes[0]["body"]["product_id"] == "a"
    assert outcomes[1]["body"]["code"] == "immutable"
    assert (outcomes[2]["body"], outcomes[2]["etag"]) == (alone.json(), alone.headers["ETag"])
    assert outcomes[3]["body"]["code"] == "unknown_customer"
    assert outcomes[5]["body"]["field"] in ("product_id", "name")
    assert made(sqlite_store) == ["a", "b", "goods"]
    assert [row["code"] for row in sqlite_store.rows(select(rejected_inputs))] == ["immutable"]


def test_a_bulk_that_is_sent_again_does_nothing_twice(app: FastAPI, sqlite_store: Store) -> None:
    client = caller(app, new_key(sqlite_store))
    new_customer = {"name": "Dora", "entity_id": "seller", "currency": "EUR", "country": "DE"}
    create = {"method": "POST", "path": "/v1/customers", "body": new_customer}
    operations = [create, create | {"idempotency_key": "own"}, create]
    first = sent(client, *operations, **{"Idempotency-Key": "night"})
    again = sent(client, *operations, **{"Idempotency-Key": "night"})
    assert [one["body"] for one in again] == [one["body"] for one in first]
    assert [one.get("replayed") for one in first + again] == [None] * 3 + ["true"] * 3
    assert len({one["body"]["customer_id"] for one in first}) == 3
    alone = client.post("/v1/customers", json=new_customer, headers={"Idempotency-Key": "night:2"})
    assert alone.json() == first[2]["body"]


def test_a_request_among_others_needs_its_own_scope_and_sees_no_more(
    app: FastAPI, sqlite_store: Store
) -> None:
    weak = caller(app, new_key(sqlite_store, "bulk:write", "customers:read", customer_id="anna"))
    outcomes = sent(
        weak, product("a"), get("/v1/customers/anna"), get("/v1/customers/carl"), get("/v1/customers")
    )
    assert [one["status"] for one in outcomes] == [403, 200, 404, 200]
    assert {row["customer_id"] for row in outcomes[3]["body"]["data"]} == {"anna", "berta"}
    reader = caller(app, new_key(sqlite_store, "customers:read"))
    assert reader.post("/v1/bulk", json={"operations": [get("/v1/customers")]}).status_code == 403
    assert caller(app, None).post("/v1/bulk", json={"operations": [get("/v1/keys")]}).status_code == 401


def test_a_request_goes_on_the_version_that_was_read(app: FastAPI, sqlite_store: Store) -> None:
    client = caller(app, new_key(sqlite_store))
    change = {"method": "PATCH", "path": "/v1/customers/anna", "body": {"name": "Anne"}}
    tag = client.get("/v1/customers/anna").headers["ETag"]
    outcomes = sent(client, change, change | {"if_match": tag}, change | {"if_match": tag})
    assert [one["status"] for one in outcomes] == [428, 200, 412]


def test_what_is_no_list_of_requests_is_refused(app: FastAPI, sqlite_store: Store) -> None:
    client = caller(app, new_key(sqlite_store))
    good = get("/v1/customers")
    bad: list[Any] = [
        [],
        [good] * 101,
        [good | {"path": "/health/live"}],
        [good | {"path": "http://elsewhere/v1/x"}],
        [good | {"path": "/v1/a\r\nb"}],
        [good | {"method": "TRACE"}],
        [good | {"more": 1}],
        [good | {"idempotency_key": "a b"}],
    ]
    for operations in bad:
        assert client.post("/v1/bulk", json={"operations": operations}).status_code == 422, operations
    nested = {"method": "POST", "path": "/v1/bulk", "body": {"operations": [good]}}
    others = [nested | {"path": f"/v1/bulk{more}"} for more in ("?x=1", "#x", "/#", "#?x")]
    assert [one["status"] for one in sent(client, nested, *others, good)] == [400] * 5 + [200]


def test_each_request_stands_in_the_list_of_calls(app: FastAPI, sqlite_store: Store) -> None:
    client = caller(app, new_key(sqlite_store))
    sent(client, product("a"), product("a"), get("/v1/customers/anna"))
    rows = calls(app, app.state.services.stores.url)
    found = {(row["method"], row["route"], row["status"], row["code"], row["subject_id"]) for row in rows}
    assert found == {
        ("POST", "/v1/bulk", 207, None, None),
        ("POST", "/v1/products", 201, None, None),
        ("POST", "/v1/products", 409, "immutable", None),
        ("GET", "/v1/customers/{customer_id}", 200, None, "anna"),
    }
    assert len({row["request_id"] for row in rows}) == 1
    assert len(rows) == 4
