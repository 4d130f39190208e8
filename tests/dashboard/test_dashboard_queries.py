"""Every statement a user sees lies in dashboard/queries, reads published tables, names a known metric."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

import dashboard.queries
from dashboard.i18n.extract import PACKAGE
from dashboard.queries import Query
from dashboard.serve import command
from dashboard.workbench import questions
from pipelines.alternatives import _RESTATED, _SENSITIVITY
from pipelines.meta import read_registry, registry_files
from pipelines.warehouse import open_snapshot

PROJECT = PACKAGE.parent
QUERIES = [
    query
    for module in pkgutil.iter_modules(dashboard.queries.__path__)
    for query in vars(importlib.import_module(f"dashboard.queries.{module.name}")).values()
    if isinstance(query, Query)
]
DRAWN = {
    *("mrr_bridge", "mrr_trend", "receivables_by_age", "retention_trend", "cohorts", "cash_by_month"),
    *("dunning_stages", "dunning_recovery_trend", "metric_history", "forecast_backtest"),
    *("renewals_by_day", "customer_mrr_months", "order_revenue", "repeat_rate", "order_cohorts"),
    *("order_revenue_by_country", "second_orders", "revenue_parts", "churn_reliability"),
}
VALUES = {
    "metric": "mrr",
    "table": "dim_plans",
    "settings": "min_customers, pause",
    "month": date(2025, 3, 1),
    "compared": date(2025, 2, 1),
    "opening_month": date(2024, 3, 1),
    "cohort_month": date(2025, 1, 1),
    "segment": "all",
    "grain": "month",
    "age_months": 3,
    "country": "all",
    "currency": "EUR",
    "category": "new",
    "paid_by": "2",
    "band": "all",
    "list_name": "now",
    "model_id": "m1",
    "ranking": "value",
    "limit": 5,
    "reason": "all",
    "customer_id": "K1",
    "customer": "K1",
    "window_months": 12,
    "min_customers": 1,
    "days_from": 1,
    "days_to": 30,
    "closed_on": date(2025, 3, 31),
    "as_of": date(2025, 3, 31),
    "first_month": date(2024, 4, 1),
    "from_day": date(2025, 3, 1),
    "to_day": date(2025, 3, 31),
    "by_day": False,
    "outcome": "all",
    "method": "survival",
    "horizon_from": 1,
    "horizon_to": 6,
    "metric_id": "mrr",
    "words": "acme",
    "owner": "all",
    "looked_after_by": "Dana",
    "state": "all",
    "kind": "all",
    "change": "new",
    "days": 30,
    "week": None,
    "offset": 0,
    "asked": "C1",
    "since": date(2025, 1, 1),
    "like": "%c1%",
    "lang": "en",
    "parent_id": "C1",
    "plan": "all",
    "part": "regular",
    "document": "A-1",
    "invoice_id": "A-1",
    "walk": "gross_to_cash",
    "begins": "gross_invoiced",
    "arrives": "cash_received",
    "acted_customers": ["C1"],
    "acted_states": ["snoozed"],
    "acted_owners": ["Dana"],
    "acted_until": [date(2025, 4, 1)],
    "acted_touched": [None],
    "acted_next": [None],
    "written_on": [date(2025, 3, 1)],
    "written_kinds": ["note"],
    "written_words": ["hello"],
    "metric_ids": "mrr,nrr_12m",
    "seen_at": "2025-03-20T04:30:00+00:00",
}


def test_a_list_goes_to_the_workbench_as_a_text_that_the_engine_reads() -> None:
    owners = ["Amal", "O'Neil", 'the "first", [one]', "", None]
    days = [date(2025, 1, 31), None]
    read = duckdb.sql(
        "SELECT $owners::VARCHAR[], $days::DATE[]",
        params={"owners": questions.value_of(owners).text, "days": questions.value_of(days).text},
    )
    assert questions.value_of(owners).kind == questions.value_of(days).kind == "text"
    assert read.fetchall() == [(owners, days)]


@pytest.mark.parametrize("query", [one for one in QUERIES if one.name in DRAWN], ids=lambda one: one.name)
def test_what_a_chart_was_drawn_from_can_be_asked_in_the_workbench(query: Query) -> None:
    assert questions.can_be_asked(query)


def test_every_name_of_a_drawn_query_is_one() -> None:
    assert {query.name for query in QUERIES} >= DRAWN


def test_every_chart_names_the_query_it_was_drawn_from() -> None:
    """So that its menu has the statement, and leads to the workbench."""
    drawn, nameless = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("frame.chart", "timeline.chart"):
                names = {keyword.arg for keyword in node.keywords}
                drawn += 1
                if "query" not in names and path.name != "timeline.py":  # which hands it on
                    nameless.append(f"{path.name}:{node.lineno}")
    assert drawn >= 20
    assert nameless == []


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_statement_runs_on_the_tables_that_the_models_promise(workspace: Path, query: Query) -> None:
    asked = set(re.findall(r"\$(\w+)", query.sql))
    assert asked <= set(VALUES), "a value this test does not know"
    with open_snapshot(workspace / "bazaar") as snapshot:
        cursor = snapshot.cursor()
        if "policy." in query.sql:
            attach_alternatives(cursor)
        cursor.sql(query.stamped("b"), params=query.parameters(VALUES)).pl()
        cursor.sql(query.readable("b", VALUES)).pl()


def attach_alternatives(cursor: duckdb.DuckDBPyConnection) -> None:
    """The file that may lie beside a snapshot, with its tables and no rows."""
    cursor.execute("ATTACH ':memory:' AS policy")
    tables = {"fct_policy_sensitivity": _SENSITIVITY, "fct_restatement_causes": _RESTATED}
    for name, schema in tables.items():
        cursor.register("rows", pl.DataFrame(schema=schema).to_arrow())
        cursor.execute(f"CREATE TABLE policy.{name} AS SELECT * FROM rows")


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_statement_names_its_tables_in_full(query: Query) -> None:
    named = re.findall(r"(?<!DISTINCT )\b(?:FROM|JOIN)\s+\(?\s*(?!SELECT|VALUES)([\w.]+)", query.sql)
    local = set(re.findall(r"(\w+) AS \(", query.sql))
    whole = ("warehouse.", "policy.", "duckdb_columns")
    assert [name for name in named if not name.startswith(whole) and name not in local] == []


def test_names_of_statements_are_not_used_twice() -> None:
    names = [query.name for query in QUERIES]
    assert sorted(names) == sorted(set(names))


def test_every_metric_on_screen_is_in_the_registry() -> None:
    known = {metric["id"] for metric in read_registry(*registry_files(PROJECT / "models"))}
    named = {query.metric for query in QUERIES if query.metric}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "metric"
            ):
                named |= {part.value for part in node.args[:1] if isinstance(part, ast.Constant)}
    assert len(named) > 10
    assert named <= known


def test_no_statement_stands_outside_the_queries() -> None:
    for path in PACKAGE.rglob("*.py"):
        # What readers ask themselves, and what they may see, is worked out beside the pages.
        if path.parent.name not in ("queries", "workbench", "people") and path.name != "drills.py":
            content = path.read_text(encoding="utf-8")
            assert not re.search(r"\bSELECT\b|\bFROM warehouse\b", content), path


def test_nothing_in_the_dashboard_divides_money_but_the_formatter() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("format.py", "tables.py", "xlsx.py"):
            assert "scaleb" not in path.read_text(encoding="utf-8"), path
    for query in QUERIES:
        assert not re.search(r"_minor\s*/\s*\d", query.sql)


def test_the_server_is_started_by_one_command(tmp_path: Path) -> None:
    parts = command(tmp_path, 8600)
    assert parts[1:] == ["-m", "dashboard.serve", str(tmp_path), "8600", "127.0.0.1"]
