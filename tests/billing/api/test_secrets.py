"""Secrets are not kept where people read, and not told: in no log, list, refused input, answer or error."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from calling import AT, api_of, caller, new_key, open_company
from fastapi import FastAPI
from sqlalchemy import select

from billing.core.money import BillingError
from billing.service import api_keys
from billing.service.commands import perform_once
from billing.service.customers import add_payment_method
from billing.store import tables
from billing.store.audit import SECRETS, entries, without_secrets
from billing.store.store import Store
from billing.web.context import now
from billing.web.logs import write_logs

READ_BY_PEOPLE = (
    tables.api_calls,
    tables.api_replies,
    tables.approvals,
    tables.audit_log,
    tables.command_keys,
    tables.events,
    tables.outbox,
    tables.rejected_inputs,
)


def kept(store: Store) -> str:
    """All that stands in tables that people read."""
    return "\n".join(str(store.rows(select(table))) for table in READ_BY_PEOPLE)


@pytest.fixture
def app(sqlite_store: Store) -> Iterator[FastAPI]:
    open_company(sqlite_store)
    with api_of(f"sqlite:///{sqlite_store.path}") as app:
        yield app


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    lines, root, own = io.StringIO(), logging.getLogger(), logging.getLogger("billing.web")
    before = root.handlers[:], root.level, own.level
    write_logs(lines)
    yield lines
    root.handlers[:], root.level = before[0], before[1]
    own.setLevel(before[2])


def test_keys_stay_out_of_all_that_people_read(
    app: FastAPI, sqlite_store: Store, logged: io.StringIO
) -> None:
    token = new_key(sqlite_store)
    client = caller(app, token)
    answers, secrets = [], [token]
    headers = {"Idempotency-Key": "k1"}
    for _ in range(2):
        made = client.post("/v1/keys", json={"name": "x", "scopes": ["keys:write"]}, headers=headers)
        answers.append(made)
    first = answers[0].json()
    secrets.append(first["token"])
    rolled = client.post(f"/v1/keys/{first['key_id']}/roll", json={}, headers={"Idempotency-Key": "k2"})
    secrets.append(rolled.json()["token"])
    others = [
        client.get("/v1/keys"),
        client.get(f"/v1/keys/{first['key_id']}"),
        client.post(f"/v1/keys/{first['key_id']}/revoke"),
        client.post("/v1/keys", json={"name": "y", "scopes": ["nothing:read"]}),
        client.get(f"/v1/keys/{token}"),
        caller(app, token + "x").get("/v1/keys"),
        client.post(f"/v1/keys/{first['key_id']}/roll", json={}),
    ]
    app.state.calls.flush()
    hashes = [row["key_hash"] for row in sqlite_store.rows(select(tables.api_keys))]
    assert len(hashes) == 3
    in_tables, in_logs = kept(sqlite_store), logged.getvalue()
    assert "/v1/keys/{key_id}" in in_logs
    shown = "".join(one.text + str(one.headers) for one in others)
    for secret in (*hashes, *secrets):
        assert secret not in in_tables
        assert secret not in in_logs
        assert secret not in shown
    assert secrets[1] not in answers[1].text


def test_an_act_that_is_refused_keeps_what_it_was_given_without_secrets(store: Store) -> None:
    open_company(store)
    with pytest.raises(BillingError, match="unknown_customer"):
        add_payment_method(store, AT, customer_id="nobody", gateway_ref="tok_sentinel")
    with pytest.raises(BillingError, match="unknown_customer"):
        perform_once(
            store,
            AT,
            caller="shop",
            key="k",
            command=add_payment_method,
            arguments={"customer_id": "nobody", "gateway_ref": "tok_sentinel"},
        )
    minted = api_keys.mint("live")
    with pytest.raises(BillingError, match="empty_period"):
        api_keys.create_key(
            store,
            now(),
            owner="o",
            name="n",
            prefix=minted.prefix,
            key_hash=minted.key_hash,
            scopes=["keys:read"],
            version=date(2026, 12, 1),
            expires_at=now() - timedelta(days=1),
        )
    said = kept(store)
    assert "tok_sentinel" not in said
    assert minted.key_hash not in said
    payloads = [row["payload"] for row in store.rows(select(tables.rejected_inputs))]
    assert len(payloads) == 3
    assert all('"***"' in one for one in payloads)
    assert all('"nobody"' in one for one in payloads[:2])


def test_an_act_that_is_done_leaves_no_secret_in_the_audit_log(store: Store) -> None:
    open_company(store)
    add_payment_method(store, AT, customer_id="anna", gateway_ref="tok_sentinel")
    new_key(store)
    assert "tok_sentinel" not in kept(store)
    made = next(entries(store, act="create_key"))
    assert made["arguments"]["key_hash"] == "***"
    assert next(entries(store, act="add_payment_method"))["arguments"]["gateway_ref"] == "***"


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_hidden_however_deep_it_lies(name: str) -> None:
    deep: dict[str, Any] = {"a": [{"b": {name: "x"}}, ({name: "y"},)], name: None, "other": "z"}
    hidden = without_secrets(deep)
    assert hidden == {"a": [{"b": {name: "***"}}, [{name: "***"}]], name: None, "other": "z"}
    assert deep["a"][0] == {"b": {name: "x"}}
