"""A published company of any size: a small one of a few customers, whose rows by customer are copied.

A full build of a million customers takes hours and measures something else. What pages read is all there: the
marts by customer have as many rows as that many customers leave, those by month stay as they are.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "dashboard"))

import success_world
import tiny_world

BUILD = "20250401T0430-a1"
CUSTOMERS = len(tiny_world.CUSTOMERS)
KEYS = ("customer_id", "parent_customer_id", "invoice_id", "invoice_no", "subscription_id", "item_id")
MEMORY = "6GB"


def publish(folder: Path, customers: int) -> int:
    """Publish a company of about so many customers in `folder`; gives how many there are."""
    copies = max(1, round(customers / CUSTOMERS))

    def fill(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        success_world.fill(connection, build_id)
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET preserve_insertion_order = false")
        for table in _tables(connection):
            _copy(connection, table, copies)

    tiny_world.publish(folder, BUILD, fill, title=(folder.name, folder.name))
    return copies * CUSTOMERS


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.columns "
        "WHERE column_name = 'customer_id' AND table_schema IN ('marts', 'churn') ORDER BY 1"
    ).fetchall()
    return [name for (name,) in found]


def _copy(connection: duckdb.DuckDBPyConnection, table: str, copies: int) -> None:
    """Add the copies of a table's rows; each copy has keys of its own."""
    columns = {row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()}
    own = ", ".join(f"{key} || '-' || copy AS {key}" for key in KEYS if key in columns)
    connection.execute(f"CREATE TEMP TABLE first AS FROM {table}")
    connection.execute(
        f"INSERT INTO {table} SELECT first.* REPLACE ({own}) FROM range(1, {copies}) AS copies(copy), first"
    )
    connection.execute("DROP TABLE first")
