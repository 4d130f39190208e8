"""Account snapshots on rows of a test's own: raw rows, each with the day it was recorded.

A table's first load is imported history, of which nobody knows when its rows came in. So every table begins
with a row of nobody in that load, and a row is either part of it (`history`) or recorded on a day of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any

import duckdb
import polars as pl
from subscription_models import models

from pipelines.compiled import execute, needed
from pipelines.policy import read_policy
from tajdid.conformance.analytics_models import open_warehouse

Row = dict[str, Any]
MART = "fct_account_snapshots"
FIRST_LOAD = "00000000-0001"
IMPORTED = datetime(2026, 6, 1, tzinfo=UTC)


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


class Accounts:
    """Raw rows by table, in any order."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Row]] = []

    def history(self, table: str, **row: Any) -> None:
        """A row that came with the import of all that was there."""
        self.rows.append((table, row | {"recorded_at": IMPORTED, "load_id": FIRST_LOAD}))

    def record(self, table: str, on: date, **row: Any) -> None:
        """A row that was recorded on a day."""
        self.rows.append((table, row | {"recorded_at": noon(on), "load_id": f"{on:%Y%m%d}-0001"}))

    def version(self, customer: str, on: date | None, *, item: str = "", no: int = 1, **row: Any) -> None:
        """A version of an item, monthly and active unless said otherwise; on None: of the history."""
        item = item or f"{customer}-item"
        full = {
            "subscription_item_id": item,
            "version_no": no,
            "subscription_id": f"{item}-sub",
            "customer_id": customer,
            "plan_id": "base",
            "currency": "EUR",
            "interval": "month",
            "interval_count": 1,
            "quantity": 1,
            "status": "active",
        } | row
        if on is None:
            self.history("raw_billing.subscription_versions", **full)
        else:
            self.record("raw_billing.subscription_versions", on, **full)

    def keep(self, is_kept: Callable[[str, Row], bool]) -> Accounts:
        """The rows for which a question by table and row is answered yes."""
        kept = Accounts()
        kept.rows = [(table, row) for table, row in self.rows if is_kept(table, row)]
        return kept

    def build(self, as_of: date, *marts: str, known_to: datetime | None = None) -> duckdb.DuckDBPyConnection:
        """The account snapshots (or the named models) as of a day."""
        policy = read_policy(None, {"past_due_grace_days": 30, "reporting_currency": "EUR"})
        connection = open_warehouse(policy, as_of, known_to)
        by_table: dict[str, list[Row]] = {}
        for table, row in self.rows:
            by_table.setdefault(table, []).append(row)
        for table, rows in by_table.items():
            if not any(row["load_id"] == FIRST_LOAD for row in rows):
                rows = [*rows, {"recorded_at": IMPORTED, "load_id": FIRST_LOAD}]
            insert(connection, table, rows)
        execute(connection, needed(models(), *(marts or (MART,))))
        return connection


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows by column name; columns left out are null."""
    frame = pl.DataFrame(list(rows), infer_schema_length=None)
    connection.register("arriving", frame.to_arrow())
    connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM arriving")
    connection.unregister("arriving")


def snapshots(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, date], Row]:
    """The mart's rows by customer and as-of day."""
    frame = connection.sql(f"FROM marts.{MART}").pl()
    return {(row["customer_id"], row["as_of"]): row for row in frame.iter_rows(named=True)}
