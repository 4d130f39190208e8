"""How routes behave whatever they are about: scopes, pages, expansion, tags, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from billing.api import app as apps
from billing.api.performing import Act
from billing.api.route import Paging, Routes
from billing.api.shapes.base import Answer, Body, Id, Text
from billing.gateways.simulated import SimulatedGateway
from billing.reads.page import Page, page
from billing.service.catalog import create_legal_entity, create_product
from billing.store.store import Store, open_store
from billing.store.tables import products
from billing.web.context import Caller, Context, Services
from billing.web.problems import Problem
from billing.web.seal import Vault
from billing.web.stores import Stores

AT = datetime(2026, 1, 31, 8, tzinfo=UTC)
routes = Routes("Things", "things")


class NewThing(Body):
    product_id: Id
    name: Text


class Thing(Answer):
    product_id: str


def _one(store: Store, product_id: str) -> dict[str, object] | None:
    return store.row(select(products).where(products.c.product_id == product_id))


@routes.get("/things/{product_id}", answer=Thing, subject="unknown_product", expands=("parts",))
def thing(context: Context, product_id: Id) -> dict[str, object] | None:
    with context.looking() as store:
        found = _one(store, product_id)
    if found is not None and "parts" in context.expand:
        found["parts"] = []
    return found


@routes.get("/things", answer=Thing, is_list=True)
def things(context: Context, paging: Paging, name: str | None = None) -> Page:
    asked = select(products)
    if name is not None:
        asked = asked.where(products.c.name == name)
    with context.looking() as store:
        return page(store, asked, [products.c.product_id], after=paging.after, limit=paging.limit)


@routes.post("/things", answer=Thing, status=201)
def make(context: Context, body: NewThing) -> Act:
    def work(store: Store, at: datetime) -> dict[str, object] | None:
        return _one(store, create_product(store, at, **body.given()))

    return Act(work, status=201, location=lambda one: f"/v1/things/{one['product_id']}")


@routes.put("/things/{product_id}", answer=Thing, subject="unknown_product", needs_key=True)
def touch(context: Context, product_id: Id) -> Act:
    return Act(
        lambda store, _at: _one(store, product_id),
        current=lambda store: _one(store, product_id),
        needs_match=True,
    )


SCOPES = {"reader": frozenset(("things:read",)), "writer": frozenset(("things:write",))}


def authenticate(_services: Services, header: str | None) -> Caller:
    name = (header or "").removeprefix("Bearer ")
    if name not in SCOPES:
        raise Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    return Caller("key", name, name, SCOPES[name])


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    url = f"sqlite:///{tmp_path / 'billing.db'}"
    with open_store(url) as store:
        store.migrate()
        create_legal_entity(store, AT, entity_id="le", name="Seller", country="DE")
        for number in range(5):
            create_product(store, AT, product_id=f"p{number}", name="even" if number % 2 == 0 else "odd")
    stores = Stores(url, size=2)
    app = apps.application(Services(stores, SimulatedGateway(), Vault(bytes(32)), lambda: AT), authenticate)
    app.include_router(routes.router)
    with TestClient(app, headers={"Authorization": "Bearer writer"}) as one:
        yield one
    stores.close()


def test_a_list_goes_on_where_the_page_before_ended(client: TestClient) -> None:
    first = client.get("/v1/things", params={"limit": 2}).json()
    second = client.get("/v1/things", params={"limit": 2, "after": first["next"]}).json()
    last = client.get("/v1/things", params={"limit": 2, "after": second["next"]}).json()
    shown = [row["product_id"] for page in (first, second, last) for row in page["data"]]
    assert shown == ["p0", "p1", "p2", "p3", "p4"]
    assert last["next"] is None


def test_a_place_of_another_list_or_a_changed_one_is_refused(client: TestClient) -> None:
    place = client.get("/v1/things", params={"limit": 2}).json()["next"]
    for asked in (
        {"after": place, "name": "even"},
        {"after": place[:-2] + "xx"},
        {"after": "é"},
        {"after": ""},
    ):
        answer = client.get("/v1/things", params=asked)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


def test_who_has_no_key_or_too_small_a_scope_gets_no_further(client: TestClient) -> None:
    nobody = client.get("/v1/things", headers={"Authorization": "Basic x"})
    assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
    reader = client.post("/v1/things", json={"bad": 1}, headers={"Authorization": "Bearer reader"})
    assert (reader.status_code, reader.json()["code"]) == (403, "scope_missing")


def test_what_is_not_there_is_404_and_what_is_refused_names_its_field(client: TestClient) -> None:
    missing = client.get("/v1/things/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown_product")
    assert missing.headers["content-type"] == "application/problem+json"
    extra = client.post("/v1/things", json={"product_id": "x", "name": "X", "recorded_at": "2020-01-01"})
    assert (extra.status_code, extra.json()["field"]) == (422, "recorded_at")
    twice = client.post("/v1/things", json={"product_id": "p0", "name": "again"})
    assert (twice.status_code, twice.json()["code"]) == (409, "immutable")


def test_a_thing_is_made_and_named_by_its_location(client: TestClient) -> None:
    made = client.post("/v1/things", json={"product_id": "new", "name": "قهوة"})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/things/new")
    read = client.get(made.headers["location"])
    assert read.json() == made.json()
    assert read.headers["etag"] == made.headers["etag"]
    again = client.get("/v1/things/new", headers={"If-None-Match": read.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_change_needs_the_tag_that_was_read_and_money_a_key(client: TestClient) -> None:
    keyed = {"Idempotency-Key": "k1"}
    assert client.put("/v1/things/p0").json()["code"] == "idempotency_key_missing"
    assert client.put("/v1/things/p0", headers=keyed).status_code == 428
    stale = client.put("/v1/things/p0", headers={**keyed, "If-Match": '"old"'})
    tag = client.get("/v1/things/p0").headers["etag"]
    assert (stale.status_code, stale.headers["etag"]) == (412, tag)
    assert client.put("/v1/things/p0", headers={"Idempotency-Key": "k2", "If-Match": tag}).status_code == 200


def test_members_are_shown_as_asked_and_what_is_unknown_is_refused(client: TestClient) -> None:
    assert client.get("/v1/things/p0", params={"fields": "name"}).json() == {"name": "even"}
    assert client.get("/v1/things/p0", params={"expand": "parts"}).json()["parts"] == []
    for asked in ({"fields": "secret"}, {"expand": "customer"}):
        assert client.get("/v1/things/p0", params=asked).json()["code"] == "bad_parameter"
