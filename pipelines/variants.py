"""What the figures of a snapshot would be with other inputs: rows as they were known at another moment,
another policy, another as-of day. The snapshot's raw tables are read in place, its models executed in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl

from pipelines import meta
from pipelines.compiled import Model, execute, needed
from pipelines.policy import Policy
from pipelines.warehouse import CATALOG, quoted

PARENTS = frozenset({"raw_billing.customer_parents"})
RATES = frozenset({"raw_billing.fx_rates"})
FIGURES = "fct_metric_values"
CELL = ("metric_id", "month", "currency", "segment")


@dataclass(frozen=True)
class Inputs:
    """What figures are made from. `known_to`: rows recorded later are not there, by the tables it names, and
    `""` for all others; `as_of`, `policy`: None as in the snapshot."""

    known_to: Mapping[str, datetime] = field(default_factory=dict)
    as_of: date | None = None
    policy: Policy | None = None


@contextmanager
def opened(snapshot: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse in memory without models, and the snapshot beside it as `published`."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH {quoted(str(snapshot))} AS published (READ_ONLY)")
        connection.execute(f"ATTACH ':memory:' AS {CATALOG}")
        connection.execute(f"USE {CATALOG}")
        yield connection


def figures(
    connection: duckdb.DuckDBPyConnection, models: tuple[Model, ...], inputs: Inputs | None = None
) -> pl.DataFrame:
    """The figures of closed months: CELL, `numerator`, `denominator`, `value`."""
    lay_out(connection, inputs or Inputs())
    execute(connection, needed(models, FIGURES))
    columns = ", ".join((*CELL, "numerator", "denominator", "value"))
    found = connection.execute(f"SELECT {columns} FROM marts.{FIGURES} WHERE NOT is_provisional").pl()
    return found.sort(CELL)


def lay_out(connection: duckdb.DuckDBPyConnection, inputs: Inputs) -> None:
    """Show the snapshot's raw tables in the warehouse as they were known, with the policy asked for."""
    tables = connection.execute(
        "SELECT table_schema, table_name, bool_or(column_name = 'recorded_at') "
        "FROM information_schema.columns "
        "WHERE table_catalog = 'published' AND starts_with(table_schema, 'raw_') GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    for schema in {schema for schema, _, _ in tables}:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute(f"CREATE SCHEMA {schema}")
    for schema, name, has_moment in tables:
        known = inputs.known_to.get(f"{schema}.{name}", inputs.known_to.get(""))
        where = f" WHERE recorded_at <= TIMESTAMPTZ '{known.isoformat()}'" if has_moment and known else ""
        kind = "TABLE" if schema == "raw_meta" else "VIEW"
        connection.execute(
            f'CREATE {kind} {schema}."{name}" AS SELECT * FROM published.{schema}."{name}"{where}'
        )
    if inputs.policy is not None:
        meta.write_policy(connection, inputs.policy)
    if inputs.as_of is not None:
        connection.execute("UPDATE raw_meta.build SET as_of = ?", [inputs.as_of])
