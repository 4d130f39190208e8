"""Every call leaves a row, and what it did names it; neither says what was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from calling import api_of, caller, calls, new_key, open_company
from fastapi import FastAPI
from sqlalchemy import select

from billing.api.performing import Act
from billing.api.route import Routes
from billing.api.shapes.base import Answer
from billing.jobs.forget import CALLS_FOR, forget
from billing.service import api_keys
from billing.store.audit import entries
from billing.store.store import Store, open_store
from billing.store.tables import api_calls, customers
from billing.web.calls import CallLog
from billing.web.context import Context, now
from billing.web.logs import Answered, JsonLines
from billing.web.metrics import Metrics
from billing.web.stores import Stores

routes = Routes("Failures of tests", "customers")


class Shown(Answer):
    object: str


@routes.post("/test-failures", answer=Shown)
def failing(context: Context) -> Act:
    def work(_store: Store, _at: Any) -> None:
        raise ZeroDivisionError

    return Act(work)


@pytest.fixture
def app(store: Store, database_url: str) -> Iterator[FastAPI]:
    open_company(store)
    with api_of(database_url, [routes.router]) as app:
        yield app


NEW = {"name": "Dora Confidential", "entity_id": "seller", "currency": "EUR", "country": "DE"}


def test_every_call_leaves_one_row_whoever_sent_it_and_however_it_ended(
    app: FastAPI, store: Store, database_url: str
) -> None:
    client = caller(app, new_key(store))
    key_id = client.get("/v1/keys").json()["data"][0]["key_id"]
    client.get("/v1/customers/anna", params={"fields": "name"})
    client.get("/v1/customers/nobody")
    client.post("/v1/customers", json=NEW, headers={"Idempotency-Key": "k"})
    client.post("/v1/customers", json=NEW, headers={"Idempotency-Key": "k"})
    client.post("/v1/customers", json=NEW | {"entity_id": "other"}, headers={"Idempotency-Key": "k2"})
    client.post("/v1/customers", json=NEW | {"more": 1})
    client.post("/v1/test-failures")
    caller(app, None).get("/v1/customers")
    caller(app, new_key(store, "customers:read")).post("/v1/customers", json=NEW)
    client.get("/nowhere/secret-token")
    client.get("/health/live")
    rows = calls(app, database_url)
    found = [(row["method"], row["route"], row["status"], row["code"]) for row in rows]
    assert sorted(found, key=str) == sorted(
        [
            ("GET", "/v1/keys", 200, None),
            ("GET", "/v1/customers/{customer_id}", 200, None),
            ("GET", "/v1/customers/{customer_id}", 404, "unknown_customer"),
            ("POST", "/v1/customers", 201, None),
            ("POST", "/v1/customers", 201, None),
            ("POST", "/v1/customers", 422, "unknown_entity"),
            ("POST", "/v1/customers", 422, "invalid"),
            ("POST", "/v1/test-failures", 500, "internal"),
            ("GET", "/v1/customers", 401, "unauthenticated"),
            ("POST", "/v1/customers", 403, "scope_missing"),
            ("GET", "(none)", 404, "not_found"),
        ],
        key=str,
    )
    by_key = [row for row in rows if row["caller_id"] == key_id]
    assert {row["caller_kind"] for row in by_key} == {"key"}
    assert len(by_key) == 8
    (anna,) = (row for row in rows if row["subject_id"] == "anna")
    assert anna["customer_id"] == "anna"
    assert anna["bytes_out"] > 10
    sent = {row["bytes_in"] for row in rows if row["status"] == 201}
    assert sent == {len(json.dumps(NEW, separators=(",", ":")))}


def test_a_row_tells_nothing_of_what_was_sent(app: FastAPI, store: Store, database_url: str) -> None:
    token = new_key(store)
    client = caller(app, token)
    client.post("/v1/customers", json=NEW)
    client.get("/v1/customers", params={"name": "Dora Confidential"})
    said = str(calls(app, database_url))
    assert "Confidential" not in said
    assert token not in said
    assert token.split("_")[2] not in said


def test_a_change_and_its_row_stand_together(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    made = client.post("/v1/customers", json=NEW)
    # Nobody has written the rows that wait; that of the change is there.
    rows = store.rows(select(api_calls).where(api_calls.c.status == 201))
    assert [row["request_id"] for row in rows] == [made.headers["X-Request-Id"]]
    assert rows[0]["bytes_out"] == len(made.content)


def test_an_entry_of_the_audit_log_names_the_request_and_the_key(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    key_id = client.get("/v1/keys").json()["data"][0]["key_id"]
    made = client.post("/v1/customers", json=NEW)
    refused = client.post("/v1/customers", json=NEW | {"entity_id": "other"})
    newest, before = entries(store, actor=f"key:{key_id}", limit=2)
    assert (newest["request_id"], newest["outcome"]) == (refused.headers["X-Request-Id"], "refused")
    assert (before["request_id"], before["outcome"]) == (made.headers["X-Request-Id"], "done")
    assert next(entries(store, act="create_legal_entity"))["request_id"] is None


def test_the_list_is_read_newest_first_by_whom_and_when(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    other = caller(app, new_key(store, "customers:read", owner="erp", customer_id="anna"))
    for customer_id in ("anna", "berta", "carl"):
        client.get(f"/v1/customers/{customer_id}")
        other.get(f"/v1/customers/{customer_id}")
    app.state.calls.flush()
    first = client.get("/v1/calls", params={"limit": 2}).json()
    assert [row["customer_id"] for row in first["data"]] == ["anna", "carl"]
    rest = client.get("/v1/calls", params={"limit": 200, "after": first["next"]}).json()
    assert [row["customer_id"] for row in rest["data"]] == ["berta", "berta", "anna", "anna"]
    assert rest["next"] is None
    refused = client.get("/v1/calls", params={"status": 404}).json()["data"]
    assert [row["subject_id"] for row in refused] == ["carl"]
    caller_id = refused[0]["caller_id"]
    carls = caller(app, new_key(store, "audit:read", owner="carl", customer_id="carl"))
    assert caller_id not in {row["caller_id"] for row in carls.get("/v1/calls").json()["data"]}
    of_other = client.get("/v1/calls", params={"caller_id": caller_id}).json()["data"]
    assert len(of_other) == 3
    at = rest["data"][1]["happened_at"]
    since = client.get("/v1/calls", params={"since": at, "caller_id": caller_id}).json()["data"]
    until = client.get("/v1/calls", params={"until": at, "caller_id": caller_id}).json()["data"]
    assert len(since) + len(until) == 3


def refused(request_id: str = "req") -> Answered:
    answered = Answered({"method": "GET", "path": "/v1/x", "request_id": request_id, "path_params": {}})
    answered.status = 404
    return answered


def test_the_list_is_written_to_its_end_before_the_stores_close_and_its_thread_ends(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    with open_store(url) as store:
        store.migrate()
        before = set(threading.enumerate())
        stores = Stores(url, size=1)
        log = CallLog(stores)
        for _ in range(3):
            log.watch(refused())
        assert [one.name for one in set(threading.enumerate()) - before] == ["calls"]
        stores.close()
        assert set(threading.enumerate()) <= before
        assert len(store.rows(select(api_calls))) == 3


def test_rows_wait_while_the_database_is_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    stores = Stores(url, size=1)
    log = CallLog(stores)
    for _ in range(3):
        log.watch(refused())
    with pytest.raises(Exception, match="no such table"):
        log.flush()
    with open_store(url) as store:
        store.migrate()
        log.close()
        assert len(store.rows(select(api_calls))) == 3
    stores.close()


def test_only_so_many_rows_wait_and_those_that_are_lost_are_told_of_once_the_database_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("billing.web.calls.MOST_WAITING", 3)
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    stores = Stores(url, size=1)
    log = CallLog(stores)
    for number in range(5):
        log.watch(refused(f"req_{number}"))
    with pytest.raises(Exception, match="no such table"):
        log.flush()
    log.watch(refused("req_5"))
    lines = Metrics(log.figures).text().splitlines()
    assert [line.split("{")[0] for line in lines if line.endswith("} 3") and "calls" in line] == [
        "tajdid_calls_waiting",
        "tajdid_calls_lost_total",
    ]
    told = [record for record in caplog.records if record.getMessage() == "calls lost"]
    assert told == []
    with open_store(url) as store:
        store.migrate()
        log.flush()
        log.watch(refused("req_6"))
        log.flush()
        kept = [row["request_id"] for row in store.rows(select(api_calls).order_by(api_calls.c.request_id))]
    assert kept == ["req_0", "req_1", "req_2", "req_6"]
    told = [record for record in caplog.records if record.getMessage() == "calls lost"]
    assert [json.loads(JsonLines().format(record))["calls_lost"] for record in told] == [3]
    stores.close()


def test_calls_and_keys_are_forgotten_in_time(app: FastAPI, store: Store) -> None:
    client = caller(app, new_key(store))
    client.get("/v1/customers")
    app.state.calls.flush()
    made = client.post("/v1/keys", json={"name": "x", "scopes": ["keys:read"]}).json()
    api_keys.revoke_key(store, now(), key_id=made["key_id"])
    assert not any(forget(store, now() + CALLS_FOR - timedelta(hours=1)).values())
    later = now() + CALLS_FOR + timedelta(hours=1)
    gone = forget(store, later)
    assert (gone["api_keys"], gone["api_calls"]) == (1, 2)
    assert forget(store, later) == dict.fromkeys(gone, 0)
    assert len(store.rows(select(customers))) == 3
