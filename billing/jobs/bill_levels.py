"""Levels prorated by day or paid in advance: reads how they moved, a row a day, told by the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl
from sqlalchemy import BigInteger, case, cast, func, select

from billing.core.endings import cut_levels, with_levels_as_billed
from billing.core.invoicing import SERVICE_KEY, PolicyKey, with_fee_on_zero
from billing.core.levels import LEVEL_COLUMNS, charged_levels
from billing.core.policy import Policy
from billing.jobs.bill_facts import ORIGIN, read_by_ids, read_prices
from billing.jobs.bill_usage import events_of_segments, named_ranges, ranges_of
from billing.store.store import Store
from billing.store.tables import line_items

_BIG = line_items.c.net_minor.type
IS_LEVEL = ((pl.col("prorate") == "day") | pl.col("is_ahead")).fill_null(False)


def with_level_amounts(
    store: Store, parts: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Adds to usage segments what their levels cost (LEVEL_COLUMNS), where their price prorates them by day
    or is paid in advance; the quantity of those paid in advance is the highest level.

    parts: as `with_quantities` gives them."""
    if "usage_end" not in parts.columns:
        return parts
    wanted = parts.filter(IS_LEVEL)
    if wanted.is_empty():
        return parts
    wanted = wanted.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("segment"))
    moves = [
        _moves(store, group, str(aggregation))
        for (aggregation,), group in wanted.group_by("aggregation", maintain_order=True)
    ]
    segments = with_fee_on_zero(wanted, policies).select(
        "segment",
        "price_id",
        "quantity_scale",
        pl.col("^flat_fee_on_zero$"),
        "service_start",
        pl.col("paid_until" if "paid_until" in wanted.columns else "service_end").alias("service_end"),
        (pl.col("reference_end") - pl.col("reference_start")).dt.total_days().alias("reference_days"),
        (pl.col("prorate") == "day").alias("is_prorated"),
        "is_ahead",
    )
    terms, tiers = read_prices(store, segments["price_id"])
    amounts = charged_levels(segments, pl.concat(moves), terms, tiers)
    rated = wanted.select("segment").join(amounts, on="segment", how="left", maintain_order="left")
    with_amounts = (
        wanted.drop("segment", *LEVEL_COLUMNS, strict=False)
        .hstack(rated.select(LEVEL_COLUMNS))
        .with_columns(
            pl.when("is_ahead").then("highest").otherwise("quantity_mantissa").alias("quantity_mantissa")
        )
        .drop("highest")
    )
    return pl.concat([parts.filter(~IS_LEVEL), with_amounts], how="diagonal")


def as_billed(
    store: Store,
    uses: pl.DataFrame,
    charged: pl.DataFrame,
    sums: pl.DataFrame,
    policies: Mapping[PolicyKey, Policy],
    up_to: date,
) -> pl.DataFrame:
    """Usage segments, those of levels that were billed in advance beyond an end as `with_levels_as_billed`
    gives them.

    charged: posted lines of usage. sums: what of them is billed, per LINE_KEY and SERVICE.
    """
    cut = cut_levels(uses)
    if cut.is_empty():
        return uses
    key = SERVICE_KEY
    lines = charged.join(sums.filter(pl.col("net_minor") > 0), on=key, how="semi").join(
        cut.with_columns(pl.col("reference_end").alias("service_end")), on=key, how="semi"
    )
    if lines.is_empty():
        return uses
    billed = read_by_ids(store, ORIGIN, line_items.c.line_id, lines["line_id"].to_list())
    return with_levels_as_billed(uses, billed, policies, up_to)


def _moves(store: Store, rows: pl.DataFrame, aggregation: str) -> pl.DataFrame:
    """How the levels of segments moved: `segment`, `day` (null before its service), `closing`, `peak`."""
    ranges = ranges_of(rows)
    events = events_of_segments(store.is_sqlite, ranges)
    arrival = (events.c.occurred_at, events.c.seq)
    change: Any = events.c.value_mantissa
    if aggregation == "count":
        change = 1
    elif aggregation == "unique_count":
        is_there = case((events.c.operation == "remove", 0), else_=1)
        unit = (events.c.segment, events.c.dimension)
        change = is_there - func.coalesce(func.lag(is_there).over(partition_by=unit, order_by=arrival), 0)
    changes = select(
        events.c.segment,
        case((events.c.is_before == 0, events.c.occurred_on)).label("day"),
        events.c.occurred_at,
        events.c.seq,
        cast(change, BigInteger).label("change"),
    ).subquery()
    after = (changes.c.occurred_at, changes.c.seq)
    running: Any = changes.c.change
    if aggregation != "latest":
        sums = func.sum(changes.c.change).over(partition_by=changes.c.segment, order_by=after, rows=(None, 0))
        running = cast(sums, BigInteger)
    latest_first = [column.desc() for column in after]
    steps = select(
        changes.c.segment,
        changes.c.day,
        running.label("level"),
        func.row_number()
        .over(partition_by=(changes.c.segment, changes.c.day), order_by=latest_first)
        .label("place"),
    ).subquery()
    found = store.frame(
        select(
            steps.c.segment,
            steps.c.day,
            func.max(case((steps.c.place == 1, steps.c.level)), type_=_BIG).label("closing"),
            func.max(steps.c.level, type_=_BIG).label("peak"),
        ).group_by(steps.c.segment, steps.c.day),
        named_ranges(ranges),
    )
    if aggregation not in ("count", "unique_count"):
        return found
    one = pl.lit(10, pl.Int64).pow(pl.col("meter_scale").cast(pl.UInt32))
    scales = rows.select("segment", "meter_scale")
    return found.join(scales, on="segment").with_columns(pl.col("closing", "peak") * one).drop("meter_scale")
