"""Keeps with usage events why they are not billed, and takes the reason back where it holds no more."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    DateTime,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)

from billing.core.unbilled import OUT_OF_SERVICE
from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Store
from billing.store.tables import usage_events


def keep_reasons(
    store: Store, at: datetime, members: pl.DataFrame, ranges: pl.DataFrame, days: pl.DataFrame
) -> None:
    """Say of the events in some ranges why they are not billed.

    members: `customer_id`. ranges: as core.unbilled gives them. days: the days on which usage counts, as
    `served` gives them: where a service has come to an event (a change in the past, an end taken back), a
    reason that spoke of its absence goes.
    """
    marked = read_by_ids(store, _MARKED, usage_events.c.customer_id, members["customer_id"].to_list())
    if marked.height:
        meter = ["item_id", "meter_id"]
        is_inside = (pl.col("occurred_on") >= pl.col("start")) & (pl.col("occurred_on") < pl.col("end"))
        back = marked.join(days, on=meter, how="inner").filter(is_inside)
        keys = back.select("source", "event_id").unique()
        store.update(usage_events, keys.with_columns(pl.lit(None, pl.String).alias("unbilled_reason")), at)
    if ranges.is_empty():
        return
    found = store.frame(_in_ranges(store.is_sqlite), {"ranges": _as_json(ranges)})
    reasons = ranges.with_row_index("place").select(pl.col("place").cast(pl.Int64), "reason")
    new = (
        found.sort("source", "event_id", "place")
        .unique(["source", "event_id"], keep="first", maintain_order=True)
        .join(reasons, on="place")
        .select("source", "event_id", pl.col("reason").alias("unbilled_reason"))
    )
    store.update(usage_events, new, at)


_MARKED = select(
    usage_events.c.source,
    usage_events.c.event_id,
    usage_events.c.item_id,
    usage_events.c.meter_id,
    usage_events.c.occurred_on,
).where(usage_events.c.unbilled_reason.is_not(None), usage_events.c.unbilled_reason.in_(OUT_OF_SERVICE))


def _as_json(ranges: pl.DataFrame) -> str:
    rows = ranges.select(
        "item_id",
        "meter_id",
        pl.col("first_day").cast(pl.String),
        pl.col("end_day").cast(pl.String),
        pl.col("first_day").dt.offset_by("-1d").cast(pl.String).alias("earliest"),
        pl.col("after_seq").fill_null(0),
        pl.col("arrived_from").dt.strftime("%Y-%m-%d %H:%M:%S.%6f").fill_null("0001-01-01"),
    )
    return json.dumps(rows.with_row_index("place").rows())


def _in_ranges(is_sqlite: bool) -> Any:
    """The events in ranges that have no reason yet: `source`, `event_id` and the `place` of the range."""
    document = bindparam("ranges", type_=Text)
    ranges: Any
    if is_sqlite:
        ranges = func.json_each(document).table_valued("value", name="ranges")
    else:
        ranges = func.json_array_elements(cast(document, JSON)).table_valued("value").render_derived("ranges")

    def part(index: int, kind: Any = None) -> Any:
        text = ranges.c.value.op("->>", return_type=Text())(literal_column(str(index)))
        return text if kind is None else cast(text, kind)

    def moment(index: int, kind: Any) -> Any:
        return part(index) if is_sqlite else part(index, kind)

    events = usage_events.c
    instant = DateTime(timezone=True)
    return (
        select(events.source, events.event_id, part(0, BigInteger).label("place"))
        .select_from(ranges)
        .join(
            usage_events,
            and_(
                events.item_id == part(1),
                events.meter_id == part(2),
                events.occurred_at >= moment(5, instant),
                events.occurred_on >= moment(3, Date),
                events.occurred_on < moment(4, Date),
                events.seq > part(6, BigInteger),
                events.recorded_at >= moment(7, instant),
            ),
        )
        .where(events.unbilled_reason.is_(None))
    )
