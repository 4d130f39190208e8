"""Usage priced event by event: reads the single events of percentage and dynamic prices, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import polars as pl
from sqlalchemy import DateTime, bindparam, or_, select

from billing.core.event_pricing import rate_events_of_frame
from billing.core.invoicing import LINE_KEY, PolicyKey, by_policy
from billing.core.policy import Policy
from billing.core.pricing import EVENT_MODELS
from billing.core.unbilled import OUT_OF_SERVICE
from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Store
from billing.store.tables import prices, usage_events

_EVENTS = select(
    usage_events.c.item_id,
    usage_events.c.meter_id,
    usage_events.c.occurred_at,
    usage_events.c.occurred_on,
    usage_events.c.seq,
    usage_events.c.value_mantissa,
    usage_events.c.recorded_at,
).where(
    usage_events.c.meter_id.in_(bindparam("meters", expanding=True)),
    usage_events.c.occurred_at >= bindparam("since", type_=DateTime(timezone=True)),
    usage_events.c.occurred_at < bindparam("until", type_=DateTime(timezone=True)),
    or_(usage_events.c.unbilled_reason.is_(None), usage_events.c.unbilled_reason.in_(OUT_OF_SERVICE)),
)
EVENT_COLUMNS = ["event_num", "event_den", "event_failure"]


def with_event_amounts(
    store: Store, parts: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Adds to usage segments what their events cost (EVENT_COLUMNS), where a price asks for single events.

    parts: as `with_quantities` gives them. An item's events are taken in the order they occurred, then
    arrived; the free part of a percentage is that of the item, component and period [`percentage_free`].
    """
    is_of_events = pl.col("price_model").is_in(EVENT_MODELS).fill_null(False)
    wanted = parts.filter(is_of_events)
    if wanted.is_empty():
        return parts
    limits = ["counts_seq", "counts_until"] if "counts_seq" in wanted.columns else []
    segments = by_policy(
        wanted.with_row_index("segment"),
        policies,
        lambda part, one: part.with_columns(pl.lit(one.percentage_free).alias("percentage_free")),
    ).select(
        "segment",
        pl.struct(*LINE_KEY, "reference_start").rank("dense").alias("period"),
        "item_id",
        "meter_id",
        "price_id",
        "percentage_free",
        pl.col("quantity_scale").alias("value_scale"),
        pl.col("service_start").alias("_first_day"),
        pl.col("usage_end").alias("_last_day"),
        *limits,
    )
    found = read_by_ids(
        store,
        _EVENTS,
        usage_events.c.item_id,
        segments["item_id"].unique().sort().to_list(),
        {
            "meters": segments["meter_id"].unique().sort().to_list(),
            "since": _around(segments, "first", -1),
            "until": _around(segments, "last", 1),
        },
    )
    events = (
        segments.join(found, on=["item_id", "meter_id"], how="inner")
        .filter(pl.col("occurred_on") >= pl.col("_first_day"), pl.col("occurred_on") < pl.col("_last_day"))
        .sort("period", "occurred_at", "seq")
    )
    if limits:
        came_early = (pl.col("recorded_at") < pl.col("counts_until")).fill_null(False)
        events = events.filter((pl.col("seq") <= pl.col("counts_seq")) | came_early)
    used = events["price_id"].unique().sort().to_list()
    terms = read_by_ids(store, select(prices), prices.c.price_id, used)
    amounts = rate_events_of_frame(events, terms)
    rated = segments.select("segment").join(amounts, on="segment", how="left", maintain_order="left")
    one = pl.lit(1, dtype=pl.Int128)
    with_amounts = wanted.hstack(
        rated.select(
            pl.col("event_num").fill_null(one * 0), pl.col("event_den").fill_null(one), "event_failure"
        )
    )
    return pl.concat([parts.filter(~is_of_events), with_amounts], how="diagonal")


def _around(segments: pl.DataFrame, edge: str, days: int) -> datetime:
    """A moment beyond the first or last day of all segments, in every zone."""
    bound = segments["_first_day"].min() if edge == "first" else segments["_last_day"].max()
    assert isinstance(bound, date)
    return datetime.combine(bound, time(), UTC) + timedelta(days=days)
