"""A command with a key happens once, however often it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.core.money import BillingError
from billing.service import catalog, customers
from billing.service.commands import perform_once
from billing.store import tables
from billing.store.store import Store, open_store

AT = datetime(2025, 1, 20, 12, tzinfo=UTC)
ANNA: dict[str, Any] = {
    "name": "Anna",
    "entity_id": "seller",
    "currency": "EUR",
    "country": "DE",
    "created_on": date(2025, 1, 1),
}


@pytest.fixture
def company(store: Store) -> Store:
    catalog.create_legal_entity(store, AT, entity_id="seller", name="Seller GmbH", country="DE")
    return store


def send(store: Store, key: str, *, caller: str = "shop", **changes: Any) -> Any:
    return perform_once(
        store,
        AT,
        caller=caller,
        key=key,
        command=customers.create_customer,
        arguments={**ANNA, **changes},
    )


def count(store: Store, table: Any) -> int:
    return int(store.rows(select(func.count().label("n")).select_from(table))[0]["n"])


def test_the_same_key_and_request_are_answered_as_before_and_nothing_happens_again(company: Store) -> None:
    first = send(company, "k1")
    assert send(company, "k1") == first
    assert count(company, tables.customers) == 1
    assert send(company, "k2") != first
    assert count(company, tables.customers) == 2


def test_keys_belong_to_their_caller(company: Store) -> None:
    assert send(company, "k1", caller="shop") != send(company, "k1", caller="erp")


def test_a_key_used_for_something_else_is_refused(company: Store) -> None:
    send(company, "k1")
    with pytest.raises(BillingError, match="key_conflict"):
        send(company, "k1", name="Berta")
    assert count(company, tables.customers) == 1
    assert count(company, tables.rejected_inputs) == 1


def test_a_refused_command_may_be_sent_again_with_its_key(company: Store) -> None:
    with pytest.raises(BillingError, match="unknown_entity"):
        send(company, "k1", entity_id="other")
    catalog.create_legal_entity(company, AT, entity_id="other", name="Other", country="DE")
    assert send(company, "k1", entity_id="other")


def test_of_two_calls_at_once_with_one_key_only_one_happens(company: Store, database_url: str) -> None:
    with open_store(database_url) as other, ThreadPoolExecutor() as pool:
        with company.transaction():
            first = send(company, "k1")
            second = pool.submit(send, other, "k1")
        assert second.result(timeout=60) == first
    assert count(company, tables.customers) == 1
    made = company.rows(select(tables.audit_log).where(tables.audit_log.c.act == "create_customer"))
    assert len(made) == 1
