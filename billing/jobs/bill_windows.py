"""Usage of prices with a window commitment: reads what was used in each window, summed by the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from sqlalchemy import Integer, cast, extract, func, literal_column, select

from billing.core.invoicing import PolicyKey, with_fee_on_zero
from billing.core.policy import Policy
from billing.core.windows import WINDOW_COLUMNS, charged_windows, months_of
from billing.jobs.bill_facts import read_prices
from billing.jobs.bill_usage import events_of_segments, named_ranges, ranges_of, with_midnights
from billing.store.store import Store
from billing.store.tables import line_items

_BIG = line_items.c.net_minor.type
_HOUR_MICROSECONDS = 3_600_000_000
_QUARTER = 900


def with_window_amounts(
    store: Store, parts: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Adds to usage segments what their windows cost (WINDOW_COLUMNS), where their price has a commitment.

    parts: as `with_quantities` gives them."""
    has_window = pl.col("window_unit").is_not_null()
    if "usage_end" not in parts.columns or parts["window_unit"].null_count() == parts.height:
        return parts
    wanted = with_midnights(parts.filter(has_window)).with_row_index("segment")
    wanted = wanted.with_columns(pl.col("segment").cast(pl.Int64))
    months = months_of(wanted.filter(pl.col("window_unit") == "month"))
    used = [
        _used(store, group, str(window), months)
        for (window,), group in wanted.group_by("window_unit", maintain_order=True)
    ]
    counts = months.group_by("service_start", "service_end").agg(pl.len().cast(pl.Int64).alias("_months"))
    hours = (pl.col("service_end_at") - pl.col("service_start_at")).dt.total_microseconds()
    segments = with_fee_on_zero(
        wanted.join(counts, on=["service_start", "service_end"], how="left", maintain_order="left"), policies
    ).select(
        "segment",
        "price_id",
        "quantity_scale",
        pl.col("^flat_fee_on_zero$"),
        pl.when(pl.col("window_unit") == "hour")
        .then(hours // _HOUR_MICROSECONDS)
        .when(pl.col("window_unit") == "day")
        .then((pl.col("service_end") - pl.col("service_start")).dt.total_days())
        .otherwise("_months")
        .alias("window_count"),
    )
    terms, tiers = read_prices(store, segments["price_id"])
    amounts = charged_windows(segments, pl.concat(used), terms, tiers)
    rated = wanted.select("segment").join(amounts, on="segment", how="left", maintain_order="left")
    with_amounts = parts.filter(has_window).drop(WINDOW_COLUMNS, strict=False)
    with_amounts = with_amounts.hstack(rated.select(WINDOW_COLUMNS))
    return pl.concat([parts.filter(~has_window), with_amounts], how="diagonal")


def _used(store: Store, rows: pl.DataFrame, window: str, months: pl.DataFrame) -> pl.DataFrame:
    """What was used in each window that anything was used in: `segment`, `quantity_mantissa`, `is_inside`."""
    ranges = ranges_of(rows)
    parts = []
    for (aggregation,), group in rows.group_by("aggregation", maintain_order=True):
        of_group = ranges.filter(pl.col("segment").is_in(group["segment"].implode()))
        parts.append(_read(store, of_group, str(aggregation), window, group))
    found = pl.concat(parts)
    if window != "month":
        return found.select("segment", "quantity_mantissa", "is_inside")
    spans = rows.select("segment", "service_start", "service_end")
    starts = months.join(spans, on=["service_start", "service_end"]).select("segment", "month", "month_start")
    by_month = (
        found.sort("window")
        .join_asof(
            starts.sort("month_start"),
            left_on="window",
            right_on="month_start",
            by="segment",
            check_sortedness=False,
        )
        .with_columns(pl.lit(True).alias("is_inside"))
    )
    most = pl.col("quantity_mantissa").max()
    highest = set(rows.filter(pl.col("aggregation") == "max")["segment"].to_list())
    return (
        by_month.group_by("segment", "month", maintain_order=True)
        .agg(
            pl.when(pl.col("segment").first().is_in(list(highest)))
            .then(most)
            .otherwise(pl.col("quantity_mantissa").sum())
            .alias("quantity_mantissa"),
            pl.col("is_inside").any(),
        )
        .select("segment", "quantity_mantissa", "is_inside")
    )


def _read(
    store: Store, ranges: pl.DataFrame, aggregation: str, window: str, rows: pl.DataFrame
) -> pl.DataFrame:
    """One row a segment and window: `window` (its hour from the start of service, else its day)."""
    events = events_of_segments(store.is_sqlite, ranges)
    amount: Any
    if aggregation == "count":
        amount = func.count(type_=_BIG)
    elif aggregation == "max":
        amount = func.max(events.c.value_mantissa)
    else:
        amount = func.sum(events.c.value_mantissa, type_=_BIG)
    at: Any = events.c.occurred_on
    if window == "hour":
        at = _epoch(store.is_sqlite, events.c.occurred_at)
        # A zone may lie half or a quarter of an hour beside the next, so windows begin on quarters.
        at = at - at % literal_column(str(_QUARTER), Integer)
    asked = select(events.c.segment, at.label("window"), amount.label("quantity_mantissa")).group_by(
        events.c.segment, at
    )
    found = store.frame(asked, named_ranges(ranges))
    about = rows.select("segment", "service_start_at", "service_end", "service_end_at", "meter_scale")
    found = found.join(about, on="segment")
    if aggregation == "count":
        one = pl.lit(10, pl.Int64).pow(pl.col("meter_scale").cast(pl.UInt32))
        found = found.with_columns(pl.col("quantity_mantissa") * one)
    if window == "hour":
        moment = pl.from_epoch(pl.col("window"), time_unit="s").cast(pl.Datetime("us", "UTC"))
        hour = (moment - pl.col("service_start_at")).dt.total_microseconds() // _HOUR_MICROSECONDS
        inside = moment < pl.col("service_end_at")
        merged = pl.col("quantity_mantissa")
        return (
            found.with_columns(hour.alias("window"), inside.alias("is_inside"))
            .group_by("segment", "window", maintain_order=True)
            .agg(merged.max() if aggregation == "max" else merged.sum(), pl.col("is_inside").any())
            .select("segment", "window", "quantity_mantissa", "is_inside")
        )
    inside = pl.col("window") < pl.col("service_end")
    return found.with_columns(inside.alias("is_inside")).select(
        "segment", "window", "quantity_mantissa", "is_inside"
    )


def _epoch(is_sqlite: bool, moment: Any) -> Any:
    """Whole seconds since 1970, in the database."""
    if is_sqlite:
        return cast(func.strftime("%s", moment), Integer)
    return cast(func.floor(extract("epoch", moment)), _BIG)
