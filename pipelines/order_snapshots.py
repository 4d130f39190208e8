"""Customer snapshots of an order history that belongs to no company: a throw-away warehouse in memory.

The rows go through the source `orders` and through the models that fct_customer_snapshots is made from, so a
feature is written once, in dbt, whatever it is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl

from pipelines import meta
from pipelines.compiled import Model, execute, models_of, needed
from pipelines.models import compile_models
from pipelines.policy import read_policy
from pipelines.sources import KINDS
from pipelines.sources.loading import SourceConfig, SourceError, Stage, create_raw_tables
from pipelines.warehouse import CATALOG

PROJECT = Path(__file__).resolve().parents[1]
SNAPSHOTS = "fct_customer_snapshots"
RECORDED = datetime(2000, 1, 1, tzinfo=UTC)
"""When all rows count as known: an order history says only when things happened."""


@dataclass(frozen=True)
class OrderSnapshots:
    """`frame`: the rows of fct_customer_snapshots; `first_on`, `last_on`: first and last day with an event;
    `rows_read`, `rows_rejected`; `rejects`: rows set aside by reason."""

    frame: pl.DataFrame
    first_on: date
    last_on: date
    rows_read: int
    rows_rejected: int
    rejects: Mapping[str, int]


def order_snapshots(
    rows: pl.DataFrame,
    layout: Mapping[str, str],
    *,
    horizon_days: int,
    active_days: int,
    first_snapshot: date | None = None,
    step_days: int | None = None,
    also_on: Sequence[date] = (),
    models: Sequence[Model] | None = None,
) -> OrderSnapshots:
    """Load rows of the form of an order import and cut snapshots from them.

    rows: order_id, ordered_at, customer_id, sku, quantity, unit_price, is_credit, perhaps country; layout:
    how they are written ([format] of mapping.toml). Dates mean features before, label from that date on;
    first_snapshot None = 120 days after the first order; step_days None = monthly; also_on: further dates.
    `models`: compiled before. Raises SourceError where no row can be used.
    """
    with tempfile.TemporaryDirectory(prefix="tajdid-events-") as scratch, duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; ATTACH ':memory:' AS {CATALOG}; USE {CATALOG}")
        create_raw_tables(connection)
        _load(connection, Path(scratch), rows, layout)
        first_on, last_on = connection.execute(
            "SELECT min(ordered_at)::DATE, max(ordered_at)::DATE FROM raw_orders.orders"
        ).fetchall()[0]
        if last_on is None:
            raise SourceError(f"no row can be used: {_told(_rejects(connection))}.")
        meta.write_policy(connection, read_policy(None))
        meta.write_build(
            connection,
            build_id="events",
            company="events",
            as_of=last_on,
            built_at=RECORDED,
            is_sample=False,
            sources=(SourceConfig("events", "orders", scratch),),
        )
        connection.execute(
            "INSERT INTO raw_meta.order_snapshots VALUES (?, ?, ?, ?, ?)",
            [horizon_days, active_days, first_snapshot, step_days, list(also_on)],
        )
        execute(connection, models or needed(_compiled(Path(scratch)), SNAPSHOTS))
        frame = connection.sql(f"FROM marts.{SNAPSHOTS} ORDER BY as_of, customer_id").pl()
        rejects = _rejects(connection)
    return OrderSnapshots(frame, first_on, last_on, rows.height, sum(rejects.values()), rejects)


def _load(
    connection: duckdb.DuckDBPyConnection, scratch: Path, rows: pl.DataFrame, layout: Mapping[str, str]
) -> None:
    """The rows as the one file of a source `orders`."""
    folder = scratch / "orders"
    folder.mkdir()
    rows.write_parquet(folder / "events.parquet")
    lines = ["[format]", *(f"{key} = '''{value}'''" for key, value in layout.items())]
    (folder / "mapping.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    policy = read_policy(None)
    stage = Stage(
        connection,
        "events",
        RECORDED,
        scratch,
        policy.reporting_currency,
        policy.reporting_timezone,
        lambda _: None,
    )
    with stage.transaction():
        KINDS["orders"](stage, SourceConfig("events", "orders", str(folder)))


def _rejects(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT concat_ws(' ', reason, column_name), count(*) FROM raw_meta.rejects GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )


def _told(rejects: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {count:,} rows" for reason, count in rejects.items()) or "the file is empty"


def _compiled(scratch: Path) -> tuple[Model, ...]:
    return models_of(compile_models(PROJECT, SNAPSHOTS, scratch))
