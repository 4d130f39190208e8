"""Keys: shown once, kept as a hash, within their scopes, rolled without a gap, ended at once."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from calling import api_of, caller, new_key, open_company
from fastapi import FastAPI
from source_trees import parsed
from sqlalchemy import select

import billing
from billing.api.keys import Door
from billing.core.money import BillingError
from billing.service import api_keys
from billing.store.store import Store
from billing.store.tables import api_keys as keys_table
from billing.web.context import now
from billing.web.problems import Problem

NEW = {"name": "Warehouse", "scopes": ["keys:read", "audit:read"]}


@pytest.fixture
def app(store: Store, database_url: str) -> Iterator[FastAPI]:
    open_company(store)
    with api_of(database_url) as app:
        yield app


def kept(store: Store) -> list[dict[str, Any]]:
    return store.rows(select(keys_table).order_by(keys_table.c.key_id))


def test_a_key_is_shown_once_and_kept_as_its_hash(app: FastAPI, store: Store) -> None:
    master = caller(app, new_key(store))
    made = master.post("/v1/keys", json=NEW)
    assert made.status_code == 201, made.text
    token = made.json()["token"]
    assert token.startswith("tj_live_")
    assert len(token) == len("tj_live_") + 12 + 1 + 43
    assert made.headers["Location"] == f"/v1/keys/{made.json()['key_id']}"
    again = master.get(made.headers["Location"])
    assert again.json() == {name: one for name, one in made.json().items() if name != "token"}
    assert again.headers["ETag"] == made.headers["ETag"]
    row = kept(store)[-1]
    assert row["key_hash"] == hashlib.sha256(token.encode()).hexdigest()
    assert token not in str(row)
    assert "key_hash" not in again.text
    assert caller(app, token).get("/v1/keys").status_code == 200


def test_what_is_no_key_of_this_company_opens_nothing(app: FastAPI, store: Store) -> None:
    token = new_key(store)
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    of_trying = new_key(store, mode="test")
    answers = [
        caller(app, one).get("/v1/keys")
        for one in (None, "", "tj_live_x", wrong, of_trying, token + "x", token.upper(), "é" * 64)
        if one is None or one.isascii()
    ]
    basic = caller(app, None, Authorization=f"Basic {token}").get("/v1/keys")
    for answer in (*answers, basic):
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert token[:20] not in answer.text


def test_a_key_does_what_its_scopes_say(app: FastAPI, store: Store) -> None:
    reader = caller(app, new_key(store, "keys:read"))
    assert reader.get("/v1/keys").status_code == 200
    refused = reader.post("/v1/keys", json=NEW)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert reader.get("/v1/calls").status_code == 403
    assert caller(app, new_key(store, "*:read")).get("/v1/calls").status_code == 200


def test_a_key_makes_no_key_that_may_more_than_itself(app: FastAPI, store: Store) -> None:
    writer = caller(app, new_key(store, "keys:write", "invoices:read"))

    def made(*scopes: str) -> int:
        return writer.post("/v1/keys", json=NEW | {"scopes": list(scopes)}).status_code

    assert made("keys:read", "invoices:read") == 201
    assert [made(one) for one in ("keys:admin", "invoices:write", "*:read", "customers:read")] == [403] * 4
    assert [made(one) for one in ("invoices", "invoices:all", "nothing:read", "")] == [422, 422, 403, 422]
    new_key(store)
    (master_id,) = (row["key_id"] for row in kept(store) if row["scopes"] == "*:admin")
    assert writer.post(f"/v1/keys/{master_id}/roll", json={}).status_code == 403


def test_a_key_of_a_customer_sees_and_makes_keys_of_that_customer_alone(app: FastAPI, store: Store) -> None:
    of_anna = caller(app, new_key(store, owner="anna", customer_id="anna"))
    new_key(store, owner="carl", customer_id="carl")
    foreign = kept(store)[-1]["key_id"]
    assert [one["customer_id"] for one in of_anna.get("/v1/keys").json()["data"]] == ["anna"]
    made = of_anna.post("/v1/keys", json=NEW)
    assert made.json()["customer_id"] == "anna"
    assert of_anna.post("/v1/keys", json=NEW | {"customer_id": "berta"}).status_code == 201
    for customer_id in ("carl", "nobody"):
        refused = of_anna.post("/v1/keys", json=NEW | {"customer_id": customer_id})
        assert (refused.status_code, refused.json()["field"]) == (422, "customer_id")

    def answers(key_id: str) -> list[tuple[int, str]]:
        got = (
            of_anna.get(f"/v1/keys/{key_id}"),
            of_anna.post(f"/v1/keys/{key_id}/revoke"),
            of_anna.post(f"/v1/keys/{key_id}/roll", json={}),
        )
        return [(one.status_code, one.json()["title"]) for one in got]

    assert answers(foreign) == answers("ak_none") == [(404, "There is no such API key.")] * 3
    assert kept(store)[1]["revoked_at"] is None


def test_a_rolled_key_opens_until_its_end_and_the_new_one_at_once(app: FastAPI, store: Store) -> None:
    master = caller(app, new_key(store))
    first = master.post("/v1/keys", json=NEW).json()
    rolled = master.post(f"/v1/keys/{first['key_id']}/roll", json={}).json()
    same = ("owner", "name", "scopes", "customer_id", "version")
    assert [rolled[name] for name in same] == [first[name] for name in same]
    for token in (first["token"], rolled["token"]):
        assert caller(app, token).get("/v1/keys").status_code == 200
    ends = master.get(f"/v1/keys/{first['key_id']}").json()["expires_at"]
    assert ends is not None
    at_once = {"old_ends_at": now().isoformat()}
    assert master.post(f"/v1/keys/{rolled['key_id']}/roll", json=at_once).status_code == 201
    assert caller(app, rolled["token"]).get("/v1/keys").status_code == 401
    again = master.post(f"/v1/keys/{rolled['key_id']}/roll", json={})
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")


def test_no_key_makes_one_that_outlives_it(app: FastAPI, store: Store) -> None:
    end = now().replace(microsecond=0) + timedelta(days=7)
    brief = caller(app, new_key(store, expires_at=end))
    mine = kept(store)[-1]["key_id"]

    def asked(path: str, **more: Any) -> tuple[int, Any]:
        answer = brief.post(path, json=more).json()
        return (answer.get("status", 201), answer.get("field") or answer.get("expires_at"))

    ends = end.isoformat().replace("+00:00", "Z")
    assert asked("/v1/keys", **NEW) == (201, ends)
    assert asked("/v1/keys", **NEW, expires_at=ends) == (201, ends)
    late = (end + timedelta(seconds=1)).isoformat()
    assert asked("/v1/keys", **NEW, expires_at=late) == (403, "expires_at")
    lasting = caller(app, new_key(store)).post("/v1/keys", json=NEW).json()
    assert lasting["expires_at"] is None
    assert asked(f"/v1/keys/{lasting['key_id']}/roll")[0] == 403
    assert asked(f"/v1/keys/{mine}/roll") == (201, ends)
    # What was rolled ends within a day, and takes back nothing from what came after it.
    (after,) = [one["key_id"] for one in kept(store) if one["name"] == "shop" and one["expires_at"] == end]
    assert asked(f"/v1/keys/{after}/roll")[0] == 403


def test_a_key_ends_by_the_clock_of_the_world(app: FastAPI, store: Store) -> None:
    at = now()
    token = new_key(store, expires_at=at + timedelta(minutes=1))
    services = app.state.services
    assert Door(lambda: at)(services, f"Bearer {token}").owner == "shop"
    with pytest.raises(Problem, match="unauthenticated"):
        Door(lambda: at + timedelta(minutes=1))(services, f"Bearer {token}")
    with pytest.raises(BillingError, match="empty_period"):
        new_key(store, expires_at=at - timedelta(minutes=1))


def test_a_revoked_key_opens_nothing_any_more(app: FastAPI, store: Store) -> None:
    master = caller(app, new_key(store))
    made = master.post("/v1/keys", json=NEW).json()
    revoked = master.post(f"/v1/keys/{made['key_id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    assert master.post(f"/v1/keys/{made['key_id']}/revoke").json() == revoked.json()
    # The same process asks again at once where the change was made through its own door.
    with pytest.raises(Problem, match="unauthenticated"):
        Door()(app.state.services, f"Bearer {made['token']}")


def test_a_key_says_on_which_day_it_was_used_last(app: FastAPI, store: Store) -> None:
    token = new_key(store)
    assert kept(store)[0]["last_used_on"] is None
    at = now()
    Door(lambda: at)(app.state.services, f"Bearer {token}")
    assert kept(store)[0]["last_used_on"] == at.date()
    door = Door(lambda: at + timedelta(days=1))
    for _ in range(2):
        door(app.state.services, f"Bearer {token}")
    assert kept(store)[0]["last_used_on"] == at.date() + timedelta(days=1)


def test_a_key_is_compared_in_constant_time_also_where_its_beginning_is_unknown(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    real = api_keys.hmac.compare_digest

    def noted(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(api_keys.hmac, "compare_digest", noted)
    open_company(sqlite_store)
    known = new_key(sqlite_store)
    for token in (known, known[:-1] + "~", api_keys.mint("live").token, "nothing"):
        api_keys.key_of(sqlite_store, token, "live")
    assert compared == [(64, 64)] * 4


def test_nobody_compares_hashes_or_tokens_with_equals() -> None:
    secret_names = ("hash", "token", "secret", "digest", "signature", "stamp")
    found = []
    root = Path(billing.__file__).parent
    folders = ("web", "api", "portal", "admin", "gateways", "service")
    for path in (path for folder in folders for path in (root / folder).rglob("*.py")):
        for node in ast.walk(parsed(path)):
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
                continue
            both = (node.left, *node.comparators)
            sides = [ast.unparse(one).lower() for one in both if not isinstance(one, ast.Constant)]
            if any(".c." in side for side in sides):
                continue  # The database looks for a hash by an index.
            if any(side.rstrip("']\"").endswith(secret_names) for side in sides):
                found.append(f"{path.name}: {ast.unparse(node)}")
    # What tells one request or one file from another is no secret.
    open_ones = ("request_hash", "preview_hash", "asset.digest")
    assert [one for one in found if not any(name in one for name in open_ones)] == []
