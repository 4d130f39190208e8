"""The subscription models on rows of a test's own, executed in memory as the conformance runners do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from plain_metrics import History

from pipelines.compiled import Model, execute, needed
from pipelines.policy import read_policy
from tajdid.conformance.analytics_models import MARTS, compiled_models, insert, open_warehouse


@cache
def models() -> tuple[Model, ...]:
    return compiled_models(Path(tempfile.gettempdir()) / "tajdid-compiled")


def warehouse(
    history: History,
    marts: tuple[str, ...] = MARTS,
    more: Mapping[str, Iterable[Mapping[str, object]]] | None = None,
    **settings: Any,
) -> duckdb.DuckDBPyConnection:
    """A warehouse in memory, built from a history under the default policy but for `settings`. more: rows of
    further raw tables, by `schema.table`."""
    policy = read_policy(None, {"past_due_grace_days": history.grace_days, **settings})
    connection = open_warehouse(policy, history.as_of)
    rates = [
        {
            "rate_on": date(2000, 1, 1),
            "from_currency": code,
            "to_currency": "EUR",
            "rate": str(float(rate)),
            "rate_set": name,
        }
        for code, rate in history.rates.items()
        if code != "EUR"
        for name in ("budget", "daily")
    ]
    rates += [
        {
            "rate_on": on,
            "from_currency": code,
            "to_currency": "EUR",
            "rate": str(float(rate)),
            "rate_set": "daily",
        }
        for code, on, rate in history.daily_rates
        if code in history.rates
    ]
    for table, rows in (
        ("subscription_versions", history.versions),
        ("discounts", history.discounts),
        ("customers", history.customers),
        ("customer_parents", history.parents),
        ("invoices", history.invoices),
        ("invoice_lines", history.lines),
        ("applications", history.applications),
        ("usage_days", history.usage),
        ("fx_rates", rates),
    ):
        insert(connection, f"raw_billing.{table}", rows)
    for name, rows in (more or {}).items():
        insert(connection, name, rows)
    execute(connection, needed(models(), *marts))
    return connection


def rebuild(connection: duckdb.DuckDBPyConnection) -> None:
    """Execute the models again on raw rows that a test has changed."""
    execute(connection, needed(models(), *MARTS))
