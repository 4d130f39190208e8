"""Who looks after customers, owner by owner, and what the CRM logged about them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest
from subscription_models import warehouse
from test_subscription_rules import JAN, history, version

AS_OF = date(2024, 6, 30)
PEOPLE = {"a": ("Dana", "Omar"), "b": (None, "Omar"), "c": ("Dana", None), "d": (None, None)}
"""Customer → success manager and account owner."""


def account(name: str, customer: str | None, start: date | None = JAN, **rest: Any) -> dict[str, Any]:
    return {"account_id": name, "customer_id": customer, "valid_from": start, **rest}


def logged(name: str, account_id: str, on: date, kind: str | None = "call") -> dict[str, Any]:
    at = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    return {"activity_id": name, "account_id": account_id, "kind": kind, "happened_at": at}


@pytest.fixture(scope="module")
def company() -> duckdb.DuckDBPyConnection:
    moved = date(2024, 4, 1)
    raw = {
        "raw_crm.accounts": [
            *(account(f"acc-{name}", name, csm=csm, owner=owner) for name, (csm, owner) in PEOPLE.items()),
            account("moves", "a", date(2024, 2, 1)),
            account("moves", "b", moved),
            account("nobody's", None),
        ],
        "raw_crm.activities": [
            logged("early", "moves", date(2024, 1, 5)),
            logged("before", "moves", date(2024, 3, 31), "site visit"),
            logged("after", "moves", moved, None),
            logged("strange", "nobody's", moved),
            logged("to come", "acc-a", date(2024, 7, 1)),
            logged("last", "acc-a", AS_OF, "meeting"),
        ],
        "raw_orders.orders": [
            {
                "order_id": "o1",
                "customer_id": "shop",
                "ordered_at": datetime(2024, 3, 1, 9, tzinfo=UTC),
                "currency": "EUR",
                "is_credit": False,
            }
        ],
        "raw_orders.order_lines": [
            {"order_id": "o1", "line_no": 1, "sku": "s", "quantity": 1, "amount_minor": 100}
        ],
    }
    versions = [version(JAN, None, 1000, item=name, customer=name) for name in PEOPLE]
    marts = ("dim_customer_owners", "dim_owners", "fct_crm_activities")
    return warehouse(history(*versions, as_of=AS_OF), marts, raw)


def test_the_success_manager_goes_before_the_account_owner_and_each_customer_stands_once(
    company: duckdb.DuckDBPyConnection,
) -> None:
    rows = company.execute("SELECT owner, customer_id FROM marts.dim_customer_owners").fetchall()
    assert rows == [("", "d"), ("", "shop"), ("Dana", "a"), ("Dana", "c"), ("Omar", "b")]
    counted = company.execute("SELECT owner, customers FROM marts.dim_owners").fetchall()
    assert counted == [("Dana", 2), ("Omar", 1)]


def test_an_activity_belongs_to_whom_its_account_named_on_that_day(
    company: duckdb.DuckDBPyConnection,
) -> None:
    rows = company.execute(
        "SELECT customer_id, activity_id, kind, happened_on FROM marts.fct_crm_activities"
    ).fetchall()
    assert rows == [
        ("a", "early", "call", date(2024, 1, 5)),
        ("a", "before", "site visit", date(2024, 3, 31)),
        ("a", "last", "meeting", AS_OF),
        ("b", "after", None, date(2024, 4, 1)),
    ]
