"""The walk from MRR to recognised revenue on the sample company, read between two bill runs, or with the last
one missing: what a change is worth waits for its bill under a name of its own.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from plain_metrics import History
from plain_walk import plain_steps
from subscription_models import models

from pipelines import warehouse
from pipelines.compiled import execute, needed
from pipelines.policy import read_policy
from tajdid.conformance.analytics_models import open_warehouse

DOCUMENTS = {"invoices": "invoice_id", "credit_notes": "credit_note_id"}


def company_read_on(home: Path, as_of: date, last_run: date) -> duckdb.DuckDBPyConnection:
    """The sample company on a day, without the documents of later bill runs."""
    connection = open_warehouse(read_policy(None), as_of)
    snapshot = warehouse.current(home / "atlas")
    connection.execute(f"ATTACH '{snapshot}' AS sample (READ_ONLY)")
    connection.execute("DELETE FROM raw_meta.policy")
    tables = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_catalog = 'sample' AND table_schema IN ('raw_billing', 'raw_crm') "
        "INTERSECT SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_catalog = 'warehouse'"
    ).fetchall()
    for (table,) in [*tables, ("raw_meta.policy",)]:
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM sample.{table}")
    for table, key in DOCUMENTS.items():
        lines = "invoice_lines" if table == "invoices" else "credit_note_lines"
        late = f"SELECT {key} FROM raw_billing.{table} WHERE issued_on > $day"
        connection.execute(f"DELETE FROM raw_billing.{lines} WHERE {key} IN ({late})", {"day": last_run})
        connection.execute(f"DELETE FROM raw_billing.{table} WHERE issued_on > $day", {"day": last_run})
    execute(connection, needed(models(), "fct_reconciliation"))
    return connection


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = connection.execute(query)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def history_of(connection: duckdb.DuckDBPyConnection, as_of: date, items: list[str]) -> History:
    """What staging says of these items."""
    history = History(as_of)
    named = "('" + "', '".join(items) + "')"
    for name, table, condition in (
        ("versions", "subscription_versions", f"subscription_item_id IN {named} AND valid_from <= as_of"),
        ("discounts", "discounts", f"subscription_item_id IN {named}"),
        ("lines", "invoice_lines", f"subscription_item_id IN {named}"),
        (
            "invoices",
            "invoices",
            "invoice_id IN (SELECT invoice_id FROM staging.stg_billing__invoice_lines "
            f"WHERE subscription_item_id IN {named})",
        ),
        ("applications", "applications", "true"),
    ):
        found = rows(
            connection,
            f"SELECT * FROM staging.stg_billing__{table} CROSS JOIN (SELECT as_of FROM raw_meta.build) "
            f"WHERE {condition}",
        )
        getattr(history, name).extend(found)
    for row in (*history.versions, *history.lines):
        row["quantity"] = Fraction(row["quantity"])
    for version in history.versions:
        version["interval"] = version["billing_interval"]
    invoices = {row["invoice_id"] for row in history.invoices}
    history.applications = [row for row in history.applications if row["invoice_id"] in invoices]
    return history


STRETCHES = """
SELECT
  stretches.subscription_item_id AS item, stretches.currency, not_yet_billed_mrr AS mrr, mrr AS whole,
  greatest(stretches.valid_from, date_trunc('month', as_of)::DATE) AS from_day, stretches.valid_to AS to_day
FROM intermediate.int_reconciliation_stretches AS stretches, raw_meta.build
WHERE stretches.valid_to > date_trunc('month', as_of) AND not_yet_billed_mrr <> 0
"""


@pytest.mark.parametrize(
    ("as_of", "last_run", "is_changed"),
    [
        # between the bill runs of the 5th and the 19th
        (date(2025, 9, 17), date(2025, 9, 17), True),
        # many renew on 5 October, some at another price: that run is missing
        (date(2025, 10, 10), date(2025, 10, 4), True),
        (date(2025, 10, 10), date(2025, 10, 10), False),
    ],
)
def test_what_waits_for_its_bill_is_not_yet_billed_and_nothing_is_unexplained(
    sample_home: Path, as_of: date, last_run: date, is_changed: bool
):
    company = company_read_on(sample_home, as_of, last_run)
    rests = rows(
        company,
        "SELECT r.month, r.currency, r.step, r.amount, count(l.line_id) AS lines "
        "FROM marts.fct_reconciliation AS r LEFT JOIN marts.fct_revenue_months AS l "
        "ON (l.month, l.currency) = (r.month, r.currency) AND l.document_kind = 'invoice' "
        "WHERE r.kind = 'unexplained' GROUP BY ALL",
    )
    assert len(rests) > 36
    assert [row for row in rests if abs(row["amount"]) > row["lines"]] == []

    waiting = rows(company, STRETCHES)
    partly = {row["item"] for row in waiting if row["mrr"] != row["whole"]}
    assert bool(partly) is is_changed
    others = sorted({row["item"] for row in waiting} - partly)[:5]
    items = sorted(partly | set(others))
    if items:
        history = history_of(company, as_of, items)
        month_days = 30 if as_of.month == 9 else 31
        found: dict[str, Fraction] = defaultdict(Fraction)
        for row in waiting:
            if row["item"] in items:
                days = (row["to_day"] - row["from_day"]).days
                found[row["currency"]] -= Fraction(row["mrr"]) * days / month_days
        expected = plain_steps(history, [], [])
        month = as_of.replace(day=1)
        assert found == {code: expected[month, code, "not_yet_billed"] for code in found}
