"""A published company in which every text of the data is hostile: scripts, formulas, marks that turn text
around, 10,000 characters, a NUL, pictures. Ids too. Its figures are those of tiny_world.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import duckdb
import tiny_world

SCRIPT = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
TEXTS = (
    SCRIPT,
    '"><svg onload=window.hacked=3><a href="javascript:window.hacked=4">x</a>',
    '=HYPERLINK("https://example.org","x")',
    "@SUM(1+1)|cmd",
    "\u202egnp.exe\u202c \u2067mixed\u2066 \u200fend",
    "x" * 10_000,
    "NUL\x00 bell\x07 escape\x1b[31m",
    "😀👩‍👩‍👧‍👦🇸🇦 e\u0301\u0301\u0301",
    "![x](https://example.org/x.png) [y](javascript:window.hacked=5) $x^2$ :red[z] :material/home:",
    "{{ 7 * 7 }} ${7*7} <%= 7 %> {name} %s %(x)s",
    "'; DROP TABLE marts.dim_customers; --",
    "../../etc/passwd?lang=xx&company=../..#",
)
# What our own words stand for: codes that models give, not text of the sources.
OURS = frozenset(
    {
        *(
            "status",
            "category",
            "bucket",
            "currency",
            "metric_id",
            "cause",
            "kind",
            "state",
            "unit",
            "setting",
        ),
        *("good_direction", "model", "main_reason", "plan_kind", "grain", "why_null", "definition_version"),
        *("commitment_class", "list_name", "band_fixed", "customer_kind", "direction", "reason", "event"),
    }
)
TABLES = ("dim_customers", "dim_plans", "fct_invoices")
SPELLED = {"lang": "ar", "company": "mallory"}
Fill = Callable[[duckdb.DuckDBPyConnection, str], None]


def publish(
    folder: Path, build_id: str = "20250401T0430-h1", fill: Fill = tiny_world.fill_subscriptions
) -> Path:
    """Publish a company in a folder, filled as another; its names in company.toml are hostile as well."""

    def spoilt(connection: duckdb.DuckDBPyConnection, build_id: str) -> None:
        fill(connection, build_id)
        _spoil(connection)

    path = tiny_world.publish(folder, build_id, spoilt, title=("Mallory", "مالوري"))
    toml = f"title_en = {json.dumps(SCRIPT)}\ntitle_ar = {json.dumps(SCRIPT + ' مالوري')}\nsample = true\n"
    (folder / "company.toml").write_text(toml, encoding="utf-8")
    return path


def spoilt_id(customer: str) -> str:
    """The id that a customer of tiny_world has here: each another hostile text."""
    return f"{customer} {TEXTS[list(tiny_world.CUSTOMERS).index(customer)]}"


def _spoil(connection: duckdb.DuckDBPyConnection) -> None:
    """Write hostile texts over every text column of the tables that hold what sources named."""
    hostile = cycle(TEXTS)
    for customer in tiny_world.CUSTOMERS:
        next(hostile)
        for table in _tables_with(connection, "customer_id"):
            connection.execute(
                f"UPDATE {table} SET customer_id = $new WHERE customer_id = $old",
                {"new": spoilt_id(customer), "old": customer},
            )
    segments = {"enterprise": TEXTS[0], "smb": TEXTS[4] + TEXTS[1]}
    for old, new in segments.items():
        for table in _tables_with(connection, "segment"):
            connection.execute(
                f"UPDATE {table} SET segment = $new WHERE segment = $old", {"new": new, "old": old}
            )
    for table in TABLES:
        texts = [
            name
            for name, kind in tiny_world.columns_of_marts()[table]
            if kind == "VARCHAR" and name not in OURS | {"customer_id", "segment", "plan_id"}
        ]
        rows = connection.execute(f"SELECT rowid FROM marts.{table}").fetchall()
        for (row,) in rows:
            parts = ", ".join(f'"{name}" = ?' for name in texts)
            values = [next(hostile) for _ in texts]
            connection.execute(f"UPDATE marts.{table} SET {parts} WHERE rowid = ?", [*values, row])


def _tables_with(connection: duckdb.DuckDBPyConnection, column: str) -> list[str]:
    found = connection.execute(
        "SELECT DISTINCT table_schema || '.' || table_name FROM information_schema.columns "
        "WHERE column_name = ? AND table_schema IN ('marts', 'churn') ORDER BY 1",
        [column],
    ).fetchall()
    return [name for (name,) in found]
