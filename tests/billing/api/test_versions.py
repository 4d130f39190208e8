"""Versions by day: who asks in an old form is answered in it, once and for repetitions too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from calling import AT, api_of, caller, new_key, open_company
from fastapi import FastAPI

from billing.api import versions
from billing.api.versions import FIRST, Change
from billing.jobs.sequence_events import sequence_events
from billing.store.store import Store

NEW = date(2027, 3, 1)


def _up(sent: dict[str, Any]) -> dict[str, Any]:
    return {("name" if name == "title" else name): value for name, value in sent.items()}


def _down(answer: dict[str, Any]) -> dict[str, Any]:
    return {("title" if name == "name" else name): value for name, value in answer.items()}


RENAMED = Change(
    NEW,
    "`title` of a product is called `name`.",
    frozenset({("POST", "/v1/products")}),
    up=_up,
    down=_down,
    sunset=date(2028, 3, 1),
)


@pytest.fixture
def app(sqlite_store: Store, _sqlite_database: str) -> Iterator[FastAPI]:
    open_company(sqlite_store)
    with api_of(_sqlite_database) as app:
        yield app


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "CHANGES", (RENAMED,))


def test_the_version_of_an_answer_is_told(app: FastAPI, sqlite_store: Store) -> None:
    client = caller(app, new_key(sqlite_store))
    for headers in ({}, {"Tajdid-Version": "2026-12-01"}):
        assert client.get("/v1/customers", headers=headers).headers["Tajdid-Version"] == "2026-12-01"
    for wrong in ("2026-11-30", "2099-01-01", "latest", "2026-12-1", ""):
        refused = client.get("/v1/customers", headers={"Tajdid-Version": wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_version"), wrong


@pytest.mark.usefixtures("renamed")
def test_an_old_key_speaks_and_hears_the_old_form(app: FastAPI, sqlite_store: Store) -> None:
    old = caller(app, new_key(sqlite_store, version=FIRST))
    new = caller(app, new_key(sqlite_store, version=NEW))
    sent = {"product_id": "p1", "title": "One"}
    made = old.post("/v1/products", json=sent)
    assert made.status_code == 201, made.text
    assert (made.json()["title"], "name" in made.json()) == ("One", False)
    assert int(made.headers["content-length"]) == len(made.content)
    assert made.headers["Tajdid-Version"] == "2026-12-01"
    assert made.headers["Sunset"] == "Wed, 01 Mar 2028 00:00:00 GMT"
    now = new.post("/v1/products", json={"product_id": "p2", "name": "Two"})
    assert (now.json()["name"], now.headers["Tajdid-Version"]) == ("Two", "2027-03-01")
    assert "Sunset" not in now.headers
    assert new.post("/v1/products", json=sent | {"product_id": "p3"}).status_code == 422
    asked = new.post(
        "/v1/products", json=sent | {"product_id": "p4"}, headers={"Tajdid-Version": "2026-12-01"}
    )
    assert asked.json()["title"] == "One"
    # Other routes are as they were.
    assert "name" in old.get("/v1/customers/anna").json()


@pytest.mark.usefixtures("renamed")
def test_a_repetition_is_heard_in_the_form_of_the_first_and_of_no_other(
    app: FastAPI, sqlite_store: Store
) -> None:
    old = caller(app, new_key(sqlite_store, version=FIRST))
    headers = {"Idempotency-Key": "k"}
    first, again = (
        old.post("/v1/products", json={"product_id": "p", "title": "P"}, headers=headers) for _ in range(2)
    )
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    other = old.post(
        "/v1/products",
        json={"product_id": "p", "name": "P"},
        headers=headers | {"Tajdid-Version": "2027-03-01"},
    )
    assert (other.status_code, other.json()["code"]) == (409, "key_conflict")


def test_events_are_pulled_in_the_form_in_which_they_are_sent(
    app: FastAPI, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(event: dict[str, Any]) -> dict[str, Any]:
        return event | {"type": "client.created"}

    change = Change(NEW, "`client`", frozenset(), topics=frozenset({"customer.created"}), event_down=down)
    monkeypatch.setattr(versions, "CHANGES", (change,))
    sequence_events(sqlite_store, AT)
    client = caller(app, new_key(sqlite_store))
    for version, topic in ((FIRST, "client.created"), (NEW, "customer.created")):
        headers = {"Tajdid-Version": version.isoformat()}
        found = client.get("/v1/events?topic=customer.created", headers=headers).json()["data"]
        one = client.get(f"/v1/events/{found[0]['message_id']}", headers=headers).json()
        assert {event["type"] for event in [*found, one]} == {topic}


@pytest.mark.usefixtures("renamed")
def test_what_cannot_be_read_is_refused_in_any_version(app: FastAPI, sqlite_store: Store) -> None:
    old = caller(app, new_key(sqlite_store, version=FIRST))
    headers = {"Content-Type": "application/json"}
    for body, status in (("{", 400), ("[1]", 422), ('{"title": "x"}', 422), ("", 422)):
        assert old.post("/v1/products", content=body, headers=headers).status_code == status, body
    assert caller(app, None).post("/v1/products", json={}).status_code == 401
