"""A request with an idempotency key happens once: whoever repeats it, when, how often and beside whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from calling import AT, api_of, caller, new_key, open_company
from fastapi import FastAPI
from sqlalchemy import func, select

from billing.api.performing import Act
from billing.api.route import Routes
from billing.api.shapes.base import Answer, Body, Id, Text
from billing.core.money import BillingError
from billing.jobs.forget import REPLIES_FOR, forget
from billing.service import approvals as approval_acts
from billing.service.acts import act
from billing.service.catalog import (
    NewComponent,
    NewPrice,
    create_plan,
    create_price_list,
    create_product,
    publish_plan_version,
)
from billing.service.customers import change_customer, create_customer
from billing.service.requests import Reply, answer_once
from billing.service.subscriptions import subscribe
from billing.store import tables
from billing.store.store import Store, open_store
from billing.web.context import Context
from billing.web.problems import Problem

routes = Routes("Customers of tests", "customers")
waits = Event()


class NewCustomer(Body):
    name: Text
    entity_id: Id = "seller"


class Order(Body):
    customer_id: Id
    plan_id: Id


class Shown(Answer):
    customer_id: str


@routes.post("/test-customers", answer=Shown, status=201, needs_key=True)
def new_customer(context: Context, body: NewCustomer) -> Act:
    def work(store: Store, at: datetime) -> dict[str, str]:
        entity_id = body.entity_id
        about = {"currency": "EUR", "country": "DE", "entity_id": entity_id}
        made = create_customer(store, at, name=body.name, **about)
        if body.name == "slow":
            waits.wait(10)
        if body.name == "broken":
            raise BillingError("sums_differ", "what nobody may see")
        if body.name == "crash":
            raise ZeroDivisionError
        if body.name == "late":
            raise Problem("precondition_failed")
        return {"customer_id": made}

    return Act(work, status=201, location=lambda shown: f"/v1/customers/{shown['customer_id']}")


@routes.post("/test-orders", answer=Shown, needs_key=True)
def order(context: Context, body: Order) -> Act:
    def work(store: Store, at: datetime) -> dict[str, str]:
        taken = subscribe(store, at, customer_id=body.customer_id, plan_id=body.plan_id)
        return {"customer_id": taken.sold_to, "subscription_id": taken.subscription_id}

    return Act(work, holds=[body.customer_id])


@pytest.fixture
def app(store: Store, database_url: str) -> Iterator[FastAPI]:
    open_company(store)
    create_plan(store, AT, plan_id="pro", name="Pro", product_id="goods")
    components = [NewComponent("fee", "fee")]
    publish_plan_version(store, AT, plan_id="pro", interval="P1M", components=components)
    create_price_list(
        store,
        AT,
        list_id="standard",
        name="Standard",
        currency="EUR",
        valid_start=date(2026, 1, 1),
        prices=[NewPrice("pro.1.fee", "flat", "25")],
    )
    with api_of(database_url, [routes.router]) as app:
        yield app


def count(store: Store, table: Any) -> int:
    return int(store.rows(select(func.count().label("n")).select_from(table))[0]["n"])


def names(store: Store) -> list[str]:
    found = store.rows(select(tables.customers.c.name).order_by(tables.customers.c.name))
    return [row["name"] for row in found if row["name"] not in ("Anna", "Berta", "Carl")]


def send(client: Any, key: str | None, name: str = "Dora", **more: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/test-customers", json={"name": name} | more, headers=headers)


def test_a_repeated_request_is_answered_as_the_first_and_nothing_happens_again(
    app: FastAPI, store: Store
) -> None:
    client = caller(app, new_key(store))
    first = send(client, "k1")
    again = send(client, "k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for header in ("Location", "ETag", "Content-Type"):
        assert again.headers[header] == first.headers[header]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert names(store) == ["Dora"]
    assert send(client, "k2").json() != first.json()
    assert names(store) == ["Dora", "Dora"]


def test_the_order_of_members_does_not_make_another_request(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    bodies = ('{"name": "Dora", "entity_id": "seller"}', '{ "entity_id":"seller","name":"\\u0044ora"}')
    headers = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    first, again = (client.post("/v1/test-customers", content=one, headers=headers) for one in bodies)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert names(store) == ["Dora"]


def test_a_key_that_came_with_another_request_is_refused(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    send(client, "k1")
    refused = send(client, "k1", "Emil")
    assert (refused.status_code, refused.json()["code"]) == (409, "key_conflict")
    other_path = client.post(
        "/v1/keys", json={"name": "x", "scopes": ["keys:read"]}, headers={"Idempotency-Key": "k1"}
    )
    assert (other_path.status_code, other_path.json()["code"]) == (409, "key_conflict")
    shown = {"Idempotency-Key": "k1", "If-Preview": "2026-12-01.other"}
    other_figures = client.post("/v1/test-customers", json={"name": "Dora"}, headers=shown)
    assert (other_figures.status_code, other_figures.json()["code"]) == (409, "key_conflict")
    assert names(store) == ["Dora"]
    assert send(client, "k1").status_code == 201


def test_keys_belong_to_their_owner_and_to_what_is_seen(app: FastAPI, store: Store) -> None:
    tokens = (new_key(store), new_key(store, owner="erp"), new_key(store, customer_id="anna"))
    answers = [send(caller(app, token), "k1").json()["customer_id"] for token in tokens]
    assert len(set(answers)) == 3
    another_of_the_owner = new_key(store, "customers:write")
    assert send(caller(app, another_of_the_owner), "k1").json()["customer_id"] == answers[0]


def test_what_moves_money_needs_a_key_and_a_key_has_a_form(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    missing = send(client, None)
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
    for key in ("", " ", "a b", "x" * 201, "k\x7f"):
        bad = send(client, key)
        assert (bad.status_code, bad.json()["code"]) == (400, "bad_idempotency_key"), key
    assert names(store) == []


def test_a_refusal_stands_and_leaves_its_traces_once(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    first = send(client, "k1", entity_id="other")
    assert (first.status_code, first.json()["code"]) == (422, "unknown_entity")
    assert first.json()["field"] == "entity_id"
    assert first.headers["Content-Type"] == "application/problem+json"
    from billing.service.catalog import create_legal_entity

    create_legal_entity(store, AT, entity_id="other", name="Other", country="DE")
    again = send(client, "k1", entity_id="other")
    assert (again.status_code, again.content) == (422, first.content)
    assert again.headers["Content-Type"] == "application/problem+json"
    assert again.headers["Idempotent-Replayed"] == "true"
    assert count(store, tables.rejected_inputs) == 1
    assert send(client, "k2", entity_id="other").status_code == 201


def test_what_was_not_decided_or_failed_leaves_the_key_free(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    for name, status in (("late", 412), ("broken", 500), ("crash", 500)):
        answer = send(client, "k1", name)
        assert answer.status_code == status
        assert "nobody may see" not in answer.text
    weak = caller(app, new_key(store, "customers:read"))
    assert send(weak, "k1").status_code == 403
    assert names(store) == []
    assert count(store, tables.api_replies) == 0
    assert send(client, "k1", "Emil").status_code == 201


def test_an_order_that_waits_for_a_word_is_told_so_for_ever_and_asked_for_once(
    app: FastAPI, store: Store
) -> None:
    change_customer(store, AT, customer_id="anna", hold=True)
    client = caller(app, new_key(store))
    body = {"customer_id": "anna", "plan_id": "pro"}

    def placed() -> Any:
        return client.post("/v1/test-orders", json=body, headers={"Idempotency-Key": "k1"})

    held = placed()
    assert held.status_code == 202, held.text
    approval_id = held.json()["approval_id"]
    assert held.headers["Location"] == f"/v1/approvals/{approval_id}"
    approval_acts.approve(store, AT, approval_id=approval_id, decided_by="mona")
    change_customer(store, AT, customer_id="anna", hold=False)
    again = placed()
    assert (again.status_code, again.content) == (202, held.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert count(store, tables.approvals) == 1
    assert count(store, tables.subscriptions) == 1


def test_a_secret_of_an_answer_is_not_said_again(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    new = {"name": "Warehouse", "scopes": ["keys:read"]}
    first, again = (client.post("/v1/keys", json=new, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert again.status_code == 201
    assert first.json().keys() - again.json().keys() == {"token"}
    assert again.headers["ETag"] == first.headers["ETag"]
    assert first.json()["token"] not in str(store.rows(select(tables.api_replies)))


def test_twins_at_once_happen_once_and_both_hear_the_same(
    app: FastAPI, store: Store, database_url: str
) -> None:
    token = new_key(store)
    waits.clear()
    with ThreadPoolExecutor() as pool:
        twins = [pool.submit(send, caller(app, token), "k1", "slow") for _ in range(4)]
        other = pool.submit(send, caller(app, token), "k2", "Emil")
        if not store.is_sqlite:
            assert other.result(timeout=60).status_code == 201  # Another key waits for nobody.
        waits.set()
        answers = [one.result(timeout=60) for one in twins]
        assert other.result(timeout=60).status_code == 201
    assert {one.content for one in answers} == {answers[0].content}
    assert sorted(one.headers.get("Idempotent-Replayed", "") for one in answers) == ["", *["true"] * 3]
    assert names(store) == ["Emil", "slow"]


def test_the_twin_of_what_failed_does_the_work(store: Store, database_url: str) -> None:
    open_company(store)
    begun, goes_on = Event(), Event()

    def ask(of: Store, work: Any) -> tuple[Reply, bool]:
        return answer_once(of, lambda: AT, caller="shop", key="k", request_hash="h", work=work)

    def fails() -> Reply:
        create_product(store, AT, product_id="lost", name="Lost")
        begun.set()
        goes_on.wait(10)
        return Reply(503)

    with open_store(database_url) as other, ThreadPoolExecutor() as pool:
        first = pool.submit(ask, store, fails)
        assert begun.wait(10)
        second = pool.submit(ask, other, lambda: Reply(200, b"{}"))
        goes_on.set()
        assert first.result(20)[0].status == 503
        assert second.result(20) == (Reply(200, b"{}"), False)
    assert ask(store, fails) == (Reply(200, b"{}", {}), True)
    assert [row["product_id"] for row in store.rows(select(tables.products))] == ["goods"]


def test_what_an_act_did_before_the_refusal_of_the_request_is_undone_with_it(
    app: FastAPI, store: Store
) -> None:
    """Where a request is several acts, one act holds them."""

    @act
    def both(store: Store, at: datetime, *, name: str) -> str:
        made = create_product(store, at, product_id=name, name=name)
        create_product(store, at, product_id=name, name=name)
        return made

    with pytest.raises(BillingError, match="immutable"):
        both(store, AT, name="twice")
    assert count(store, tables.products) == 1


def test_replies_are_forgotten_after_a_month(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    first = send(client, "k1")
    assert forget(store, AT + REPLIES_FOR)["api_replies"] == 0
    assert send(client, "k1").content == first.content
    assert forget(store, AT + REPLIES_FOR + timedelta(seconds=1))["api_replies"] == 1
    assert send(client, "k1").content != first.content
    assert json.loads(first.content).keys() == {"customer_id"}
