"""Reads what items used: the quantity of each usage segment, from the events of its days.

Events are summed by the database, so few of them enter a frame: one row a segment, and for a level weighted
by time one row for each moment of the period at which it moved. What the words mean for a single meter is
told by core/usage.py. A recurring meter carries its level over: what came before the segment opens it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
from sqlalchemy import (
    JSON,
    Date,
    DateTime,
    Integer,
    Subquery,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
)

from billing.core.calendar import midnight
from billing.core.invoicing import REFERENCE, SERVICE
from billing.core.money import post, wide
from billing.core.policy import Policy
from billing.core.unbilled import LATE, OUT_OF_SERVICE, served_until
from billing.store.store import Store
from billing.store.tables import line_items, usage_events

_BIG = line_items.c.net_minor.type


def with_quantities(store: Store, parts: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """Adds to usage segments `quantity_mantissa`, `quantity_scale` and `last_event_seq`; beside the rounded
    mantissa of a quantity that is no decimal number its exact one, `quantity_num` and `quantity_den`.

    The day a service ends counts to its last period [`end_day_usage`]. Segments that may not count all that
    came bring their limits (core.unbilled). `usage_end` is the day up to before which a segment counts.
    """
    last_day = served_until(settings, parts.columns)
    rows = parts.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("segment"), last_day.alias("usage_end")
    )
    ranges = ranges_of(rows)
    found = [
        reading(store, group, ranges[group["segment"].to_list()])
        for (aggregation,), group in rows.group_by("aggregation", maintain_order=True)
        for reading in [_READINGS.get(str(aggregation), _summed)]
    ]
    quantities = pl.concat(found, how="diagonal")
    return (
        rows.join(quantities, on="segment", how="left", maintain_order="left")
        .with_columns(
            pl.col("value").fill_null(0).alias("quantity_mantissa"),
            pl.col("meter_scale").alias("quantity_scale"),
            pl.col("last_seq").fill_null(0).alias("last_event_seq"),
        )
        .drop("segment", "value", "last_seq")
    )


def _summed(store: Store, rows: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """Sums and the latest value of a segment's days; all events of a recurring meter up to its end."""
    has_latest = rows.item(0, "aggregation") == "latest"
    events = events_of_segments(store.is_sqlite, ranges, _newest_first if has_latest else None)
    asked = select(
        events.c.segment,
        func.max(case((events.c.place == 1, events.c.value_mantissa))).label("value")
        if has_latest
        else func.sum(events.c.value_mantissa, type_=_BIG).label("value"),
        func.max(events.c.seq).label("last_seq"),
    ).group_by(events.c.segment)
    return store.frame(asked, named_ranges(ranges))


def _counted(store: Store, rows: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """The number of events."""
    events = events_of_segments(store.is_sqlite, ranges)
    asked = select(
        events.c.segment,
        func.count(type_=_BIG).label("value"),
        func.max(events.c.seq).label("last_seq"),
    ).group_by(events.c.segment)
    return _in_units(store.frame(asked, named_ranges(ranges)), rows)


def _greatest(store: Store, rows: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """The highest level: of the events inside, and of the one that was there when the segment began."""
    events = events_of_segments(store.is_sqlite, ranges, _newest_first_before_and_in)
    is_opening = (events.c.is_before == 1) & (events.c.place == 1)
    asked = select(
        events.c.segment,
        func.max(case((is_opening | (events.c.is_before == 0), events.c.value_mantissa))).label("value"),
        func.max(events.c.seq).label("last_seq"),
    ).group_by(events.c.segment)
    return store.frame(asked, named_ranges(ranges))


def _present(store: Store, rows: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """The units present at the end: those whose last event adds them."""
    events = events_of_segments(store.is_sqlite, ranges, _newest_first_of_unit)
    is_present = (events.c.place == 1) & (func.coalesce(events.c.operation, "add") == "add")
    asked = select(
        events.c.segment,
        func.sum(case((is_present, 1), else_=0), type_=_BIG).label("value"),
        func.max(events.c.seq).label("last_seq"),
    ).group_by(events.c.segment)
    return _in_units(store.frame(asked, named_ranges(ranges)), rows)


def _weighted(store: Store, rows: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """The level times the time it held, over the time of the whole period: what moves the level counts from
    its moment (or the start of its hour) to the end of the segment."""
    events = events_of_segments(store.is_sqlite, ranges)
    moment = case((events.c.is_before == 0, events.c.occurred_at))
    change = case((events.c.operation == "remove", -events.c.value_mantissa), else_=events.c.value_mantissa)
    asked = select(
        events.c.segment,
        moment.label("at"),
        func.sum(change, type_=_BIG).label("change"),
        func.max(events.c.seq).label("last_seq"),
    ).group_by(events.c.segment, moment)
    moves = store.frame(asked, named_ranges(ranges))
    unit = pl.when(pl.col("grain") == "hour").then(3_600_000_000).otherwise(1_000_000)

    def ticks(name: str) -> pl.Expr:
        return (pl.col(name) - pl.col("reference_start_at")).dt.total_microseconds() // pl.col("_unit")

    timed = with_midnights(rows).select("segment", unit.alias("_unit"), *(f"{n}_at" for n in _BOUNDS))
    from_tick = pl.max_horizontal(ticks("at"), ticks("service_start_at"))
    left = pl.max_horizontal(ticks("service_end_at") - from_tick, 0)
    return (
        moves.join(timed, on="segment")
        .with_columns(pl.coalesce("at", "service_start_at").alias("at"))
        .with_columns(
            (wide(pl.col("change")) * left).alias("quantity_num"),
            ticks("reference_end_at").alias("quantity_den"),
        )
        .group_by("segment")
        .agg(
            pl.col("quantity_num").sum(),
            pl.col("quantity_den").first().cast(pl.Int128),
            pl.col("last_seq").max(),
        )
        .with_columns(post(pl.col("quantity_num"), pl.col("quantity_den")).cast(pl.Int64).alias("value"))
    )


_READINGS = {
    "count": _counted,
    "max": _greatest,
    "unique_count": _present,
    "weighted_sum": _weighted,
}
_BOUNDS = (*SERVICE, *REFERENCE)


def _in_units(counts: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Numbers of things as quantities at their meters' scale."""
    scales = rows.select("segment", "meter_scale")
    one = pl.lit(10, pl.Int64).pow(pl.col("meter_scale").cast(pl.UInt32))
    return counts.join(scales, on="segment").with_columns(pl.col("value") * one).drop("meter_scale")


def with_midnights(rows: pl.DataFrame) -> pl.DataFrame:
    """The UTC instants at which the days of a segment and its period begin in the customer's zone."""
    days = pl.concat([rows.select("time_zone", pl.col(name).alias("on")) for name in _BOUNDS]).unique()
    begins = [midnight(on, zone) for zone, on in days.iter_rows()]
    table = days.with_columns(pl.Series("at", begins, dtype=pl.Datetime("us", "UTC")))
    for name in _BOUNDS:
        named = table.rename({"on": name, "at": f"{name}_at"})
        rows = rows.join(named, on=["time_zone", name], how="left", maintain_order="left")
    return rows


# The events of segments. The ranges of days come as one JSON text, so a statement never changes.


def ranges_of(rows: pl.DataFrame) -> pl.DataFrame:
    """The days of segments (`segment`, `usage_end`, and their limits if any) as a statement takes them."""
    first_day = pl.when(pl.col("is_recurring")).then(pl.date(1, 1, 2)).otherwise(pl.col("service_start"))
    until = pl.col("counts_until").dt.strftime("%Y-%m-%d %H:%M:%S.%6f").fill_null("0001-01-01")
    return rows.select(
        "segment",
        "item_id",
        "meter_id",
        first_day.cast(pl.String),
        pl.col("usage_end").cast(pl.String),
        first_day.dt.offset_by("-1d").cast(pl.String).alias("earliest"),
        pl.col("usage_end").dt.offset_by("1d").cast(pl.String).alias("latest"),
        pl.col("service_start").cast(pl.String).alias("begins_on"),
        *([pl.col("counts_seq"), until] if "counts_seq" in rows.columns else []),
    )


def named_ranges(ranges: pl.DataFrame) -> dict[str, str]:
    return {"segments": json.dumps(ranges.rows())}


_Place = Callable[[Any, Any], Any]


def _newest_first(segment: Any, is_before: Any) -> Any:
    """The place of an event in its segment, the newest first."""
    events = usage_events.c
    return func.row_number().over(
        partition_by=segment, order_by=(events.occurred_at.desc(), events.seq.desc())
    )


def _newest_first_before_and_in(segment: Any, is_before: Any) -> Any:
    """The same, apart for events before the segment's start."""
    events = usage_events.c
    return func.row_number().over(
        partition_by=(segment, is_before), order_by=(events.occurred_at.desc(), events.seq.desc())
    )


def _newest_first_of_unit(segment: Any, is_before: Any) -> Any:
    """The same, apart for each named unit."""
    events = usage_events.c
    return func.row_number().over(
        partition_by=(segment, events.dimension), order_by=(events.occurred_at.desc(), events.seq.desc())
    )


def events_of_segments(is_sqlite: bool, asked: pl.DataFrame, place: _Place | None = None) -> Subquery:
    """The events of each segment's days, with `is_before` its start and, if asked, their `place`."""
    document = bindparam("segments", type_=Text)
    ranges: Any
    if is_sqlite:
        ranges = func.json_each(document).table_valued("value", name="ranges")
    else:
        ranges = func.json_array_elements(cast(document, JSON)).table_valued("value").render_derived("ranges")

    def part(index: int) -> Any:
        return ranges.c.value.op("->>", return_type=Text())(literal_column(str(index)))

    def on(index: int) -> Any:
        return part(index) if is_sqlite else cast(part(index), Date)

    def instant(index: int) -> Any:
        return part(index) if is_sqlite else cast(part(index), DateTime(timezone=True))

    events = usage_events.c
    is_before = case((events.occurred_on < on(7), 1), else_=0)
    is_counted = or_(
        events.unbilled_reason.is_(None),
        events.unbilled_reason.in_(OUT_OF_SERVICE),
        # What came too late for its own period still tells the level that later periods begin with.
        and_(events.unbilled_reason == LATE, is_before == 1),
    )
    if "counts_seq" in asked.columns:
        came_early = cast(part(8), _BIG)
        is_counted &= or_(events.seq <= came_early, events.recorded_at < instant(9))
    return (
        select(
            cast(part(0), Integer).label("segment"),
            events.value_mantissa,
            events.operation,
            events.dimension,
            events.occurred_at,
            events.occurred_on,
            events.seq,
            is_before.label("is_before"),
            (place(part(0), is_before) if place else literal_column("0", Integer)).label("place"),
        )
        .select_from(ranges)
        .join(
            usage_events,
            and_(
                events.item_id == part(1),
                events.meter_id == part(2),
                events.occurred_at >= instant(5),
                events.occurred_at < instant(6),
                events.occurred_on >= on(3),
                events.occurred_on < on(4),
            ),
        )
        .where(is_counted)
        .subquery()
    )
