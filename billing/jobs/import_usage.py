"""Takes in usage events in bulk: each event once, every bad row refused with its code and kept.

An event is known by (source, event_id). The same content again is a duplicate and changes nothing; other
content under the same key is refused. One bad row never refuses the others: accepted, duplicate and rejected
rows add up to the rows sent. A correction is an event of its own, with a new id; for a sum it may be
negative.

Content is compared by `payload_hash`: BLAKE2b of 16 bytes, in hex, of the UTF-8 text of item_id, meter_id,
occurred_at (`2025-01-31 08:00:00.000000+00:00`), value_mantissa, operation and dimension, joined by \\x1f and
a full stop; a \\x1f inside is doubled, what is absent is \\x1e. It is kept with each event, so it must never
change.

Imports take turns: each holds the sequence of events until it commits, so it sees all that came before it. It
locks the customers it brings events for, so that no bill run settles days whose events it cannot see.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import polars as pl
from sqlalchemy import and_, bindparam, exists, func, or_, select

from billing.core.calendar import add_months, local_date, local_dates
from billing.core.cuts import FOREVER
from billing.core.money import QUANTITY_LIMIT, BillingError
from billing.core.refusals import REFUSALS
from billing.jobs.bill_facts import read_by_ids
from billing.store.messages import announce, keep_rejected_once, rows_as_json
from billing.store.store import Store
from billing.store.tables import (
    components,
    customers,
    item_versions,
    items,
    meters,
    plan_thresholds,
    policies,
    rejected_inputs,
    resolved_inputs,
    subscriptions,
    usage_events,
)

REQUIRED = ("source", "event_id", "item_id", "meter_id", "value")
OPTIONAL = ("customer_id", "occurred_at", "occurred_on", "operation", "dimension")
_TEXTS = ("source", "event_id", "customer_id", "item_id", "meter_id", "operation", "dimension")
QUARANTINE = ("unknown_item", "unknown_meter")
"""Codes of events that may come right by themselves, once the item or the meter exists."""
_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)$"
_NAIVE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$"
_DECIMAL = r"^([+-]?)(\d*)(?:\.(\d*))?$"


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """What became of the rows sent. `rejected`: `row` (from 0), `source`, `event_id`, `code`, `detail`;
    `repeated`: the rows that were duplicates."""

    accepted: int
    duplicate: int
    rejected: pl.DataFrame
    repeated: pl.Series = field(default_factory=lambda: pl.Series("row", [], dtype=pl.Int64))


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """What became of many rows: the three counts add up to the rows sent. `codes`: refused rows by code."""

    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)

    def plus(self, answer: UsageAnswer) -> UsageTotals:
        refused = answer.rejected.height
        codes = Counter(self.codes)
        codes.update(dict(answer.rejected.group_by("code").len().sort("code").iter_rows()))
        return UsageTotals(
            self.rows + answer.accepted + answer.duplicate + refused,
            self.accepted + answer.accepted,
            self.duplicate + answer.duplicate,
            self.rejected + refused,
            dict(sorted(codes.items())),
        )


def import_usage(
    store: Store, at: datetime, events: pl.DataFrame, *, may_take_back: bool = True
) -> UsageAnswer:
    """Add usage events. may_take_back: sums may fall, which lowers a bill.

    events: one row an event, with text columns `source`, `event_id`, `item_id`, `meter_id`; `value`, an
    integer or decimal text of at most the meter's decimals; `occurred_at`, an instant with time zone or its
    ISO text, or else `occurred_on`, a day of the customer counted at its start; and if any `customer_id`
    (must be the item's), `operation` (add, remove), `dimension` (what a `unique_count` counts).

    Codes of refused rows: missing_value, float_money, bad_decimal, too_many_decimals, amount_out_of_range,
    negative_quantity, unknown_meter, unknown_item, unknown_setting, naive_time, bad_time, future_event,
    duplicate_conflict. What nothing will bill is kept with its `unbilled_reason`: before_horizon, or because
    the item's meter is not sold at all (not_sold), not yet (before_start) or no more (after_end).
    Raises `missing_column`, `naive_time` and `bad_time` for a frame none of whose rows could be right.

    Billing finds usage by the item's next due day; only a customer with nothing left to bill is marked.
    """
    rows = _with_columns(events, at)
    if rows.is_empty():
        return UsageAnswer(0, 0, _REJECTED_FRAME)
    with store.transaction():
        return _take_in(store, at, rows, events, may_take_back)


def _take_in(
    store: Store, at: datetime, rows: pl.DataFrame, events: pl.DataFrame, may_take_back: bool = True
) -> UsageAnswer:
    rows = _known_things(store, at, rows)
    rows = _valued(_timed(rows, at))
    rows = _first_code(rows, at, may_take_back)
    rows = _repeats(store, at, rows)
    return _write(store, at, rows, events)


_REJECTED_FRAME = pl.DataFrame(
    schema={
        "row": pl.Int64,
        "source": pl.String,
        "event_id": pl.String,
        "code": pl.String,
        "detail": pl.String,
    }
)


def check_columns(schema: Mapping[str, pl.DataType]) -> None:
    """Raises `missing_column`, `naive_time`, `bad_time` for a frame none of whose rows could be right."""
    missing = [name for name in REQUIRED if name not in schema]
    if "occurred_at" not in schema and "occurred_on" not in schema:
        missing.append("occurred_at")
    if missing:
        raise BillingError("missing_column", ", ".join(missing))
    instant, day = schema.get("occurred_at", pl.Null()), schema.get("occurred_on", pl.Null())
    if instant == pl.Date or (isinstance(instant, pl.Datetime) and instant.time_zone is None):
        raise BillingError("naive_time", "column occurred_at has no time zone")
    if instant not in (pl.String, pl.Datetime, pl.Null) or day not in (pl.String, pl.Date, pl.Null):
        raise BillingError("bad_time", f"column occurred_at is {instant}, occurred_on {day}: not times")


def _with_columns(events: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The rows with all columns, numbered, texts as text. Raises `missing_column`, `naive_time`."""
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    check_columns(events.schema)
    given = [name for name in (*REQUIRED, *OPTIONAL) if name in events.columns]
    absent = [name for name in _TEXTS if name not in events.columns]
    return events.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        *(pl.col(name).cast(pl.String) if name in _TEXTS else pl.col(name) for name in given),
        *(pl.lit(None, dtype=pl.String).alias(name) for name in absent),
    )


# What the rows name.

_ITEMS = (
    select(
        items.c.item_id,
        items.c.customer_id.label("item_customer_id"),
        customers.c.time_zone,
        customers.c.policy_name,
        subscriptions.c.billing_starts_on.label("billed_from"),
        func.coalesce(items.c.ended_on, subscriptions.c.ends_on, FOREVER).label("billed_until"),
    )
    .join(customers, customers.c.customer_id == items.c.customer_id)
    .join(subscriptions, subscriptions.c.subscription_id == items.c.subscription_id)
)
_METERS = select(meters.c.meter_id, meters.c.aggregation, meters.c.scale)
_HORIZONS = select(
    policies.c.name.label("policy_name"),
    policies.c.valid_from,
    policies.c.horizon_months,
    or_(policies.c.end_day_usage == "include", policies.c.cancel_day == "used").label("counts_last_day"),
)
_SOLD = (
    select(
        item_versions.c.item_id,
        item_versions.c.plan_id,
        item_versions.c.plan_version,
        func.min(item_versions.c.effective_start).label("sold_from"),
        func.max(func.coalesce(item_versions.c.effective_end, FOREVER)).label("sold_until"),
    )
    .where(item_versions.c.superseded_at.is_(None))
    .group_by(item_versions.c.item_id, item_versions.c.plan_id, item_versions.c.plan_version)
)
"""From when until when an item is on a version of a plan."""
_METERED = (
    select(components.c.plan_id, components.c.plan_version, components.c.meter_id)
    .where(components.c.meter_id.is_not(None))
    .distinct()
)


def _known_things(store: Store, at: datetime, rows: pl.DataFrame) -> pl.DataFrame:
    """Beside each row its item's customer, zone and horizon, its meter's scale, and the days between which
    the item's meter is sold; null where unknown."""
    with store.temporary(rows.select("item_id").drop_nulls().unique().sort("item_id")) as given:
        known = store.frame(_ITEMS.join(given, given.c.item_id == items.c.item_id))
        sold = store.frame(_SOLD.join(given, given.c.item_id == item_versions.c.item_id))
    sold = (
        sold.join(store.frame(_METERED), on=["plan_id", "plan_version"], how="inner")
        .group_by("item_id", "meter_id")
        .agg(pl.col("sold_from").min(), pl.col("sold_until").max())
    )
    versions = store.frame(_HORIZONS.order_by(policies.c.valid_from, policies.c.version))
    is_first = pl.int_range(pl.len()).over("policy_name") == 0
    horizons = versions.filter(is_first | (pl.col("valid_from") <= at.date())).group_by("policy_name").last()
    return (
        rows.join(known, on="item_id", how="left", maintain_order="left")
        .join(horizons, on="policy_name", how="left", maintain_order="left")
        .join(store.frame(_METERS), on="meter_id", how="left", maintain_order="left")
        .join(sold, on=["item_id", "meter_id"], how="left", maintain_order="left")
    )


# When and how much.


def _timed(rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """`occurred_at` as an instant (null where it cannot be), `occurred_on` in the customer's zone, and the
    code of what is wrong with the time."""
    instant, code = _instant(rows)
    day = pl.lit(None, dtype=pl.Date)
    if "occurred_on" in rows.columns:
        is_text = rows.schema["occurred_on"] == pl.String
        on = pl.col("occurred_on")
        day = on.str.to_date("%Y-%m-%d", strict=False) if is_text else on.cast(pl.Date, strict=False)
    rows = rows.with_columns(instant.alias("_instant"), day.alias("_day"), code.alias("_time_code"))
    rows = rows.drop("occurred_at", "occurred_on", strict=False)
    parts = []
    for (zone,), part in rows.group_by("time_zone", maintain_order=True):
        midnight = (
            pl.col("_day")
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone(_zone(zone), non_existent="null", ambiguous="earliest")
            .dt.convert_time_zone("UTC")
        )
        counts_from_midnight = pl.col("_instant").is_null() & pl.col("_time_code").is_null()
        parts.append(
            part.with_columns(
                pl.when(counts_from_midnight).then(midnight).otherwise("_instant").alias("occurred_at"),
                pl.when(counts_from_midnight)
                .then("_day")
                .otherwise(local_dates(pl.col("_instant"), _zone(zone)))
                .alias("occurred_on"),
            )
        )
    return (parts[0] if len(parts) == 1 else pl.concat(parts).sort("row")).drop("_instant", "_day")


def _instant(rows: pl.DataFrame) -> tuple[pl.Expr, pl.Expr]:
    """The instant that `occurred_at` says, and the code of what is wrong with it; both null where it is
    absent."""
    nothing = pl.lit(None, dtype=pl.String)
    if "occurred_at" not in rows.columns:
        return pl.lit(None, dtype=pl.Datetime("us", "UTC")), nothing
    if rows.schema["occurred_at"] != pl.String:
        return pl.col("occurred_at").cast(pl.Datetime("us", "UTC")), nothing
    text = pl.col("occurred_at")
    moment = text.str.replace(" ", "T", literal=True).str.replace(r"Z$", "+00:00")
    parsed = pl.coalesce(
        moment.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
        for pattern in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%:z")
    )
    is_zoned = text.str.contains(_ZONED)
    code = (
        pl.when(text.is_null() | (is_zoned & parsed.is_not_null()))
        .then(None)
        .when(text.str.contains(_NAIVE) & ~is_zoned)
        .then(pl.lit("naive_time"))
        .otherwise(pl.lit("bad_time"))
    )
    return pl.when(is_zoned).then(parsed), code


def _zone(zone: object) -> str:
    """The zone of a group of rows; that of an unknown item does not matter."""
    return str(zone) if zone is not None else "UTC"


def _valued(rows: pl.DataFrame) -> pl.DataFrame:
    """`value_mantissa` at the meter's scale (null where it cannot be), and the code of what is wrong."""
    kind = rows.schema["value"]
    if kind.is_float():
        return rows.with_columns(
            pl.lit("float_money").alias("_value_code"), pl.lit(None, dtype=pl.Int64).alias("value_mantissa")
        )
    if kind.is_integer():
        return _whole_valued(rows)
    text = pl.col("value").cast(pl.String).str.strip_chars()
    whole = text.str.extract(_DECIMAL, 2).fill_null("")
    decimals = text.str.extract(_DECIMAL, 3).fill_null("").str.strip_chars_end("0")
    digits = pl.concat_str(whole, decimals.str.pad_end(pl.col("scale").fill_null(0), "0"))
    size = digits.str.strip_chars_start("0").str.pad_start(1, "0")
    is_number = text.str.contains(_DECIMAL) & text.str.contains(r"\d")
    mantissa = pl.when(size.str.len_chars() <= 18).then(size).cast(pl.Int64, strict=False)
    return rows.with_columns(
        pl.when(pl.col("value").is_null())
        .then(pl.lit("missing_value"))
        .when(~is_number)
        .then(pl.lit("bad_decimal"))
        .when(decimals.str.len_chars() > pl.col("scale").fill_null(12))
        .then(pl.lit("too_many_decimals"))
        .when(mantissa.is_null() | (mantissa > QUANTITY_LIMIT))
        .then(pl.lit("amount_out_of_range"))
        .when(text.str.starts_with("-") & (mantissa > 0) & (pl.col("aggregation") != "sum"))
        .then(pl.lit("negative_quantity"))
        .alias("_value_code"),
        pl.when(is_number)
        .then(pl.when(text.str.starts_with("-")).then(-mantissa).otherwise(mantissa))
        .alias("value_mantissa"),
    )


def _whole_valued(rows: pl.DataFrame) -> pl.DataFrame:
    """The same for a column of whole numbers."""
    factor = pl.lit(10, pl.Int64).pow(pl.col("scale").fill_null(0).cast(pl.UInt32))
    value = pl.col("value").cast(pl.Int64, strict=False)
    is_within = value.is_between(-(QUANTITY_LIMIT // factor), QUANTITY_LIMIT // factor).fill_null(False)
    return rows.with_columns(
        pl.when(pl.col("value").is_null())
        .then(pl.lit("missing_value"))
        .when(~is_within)
        .then(pl.lit("amount_out_of_range"))
        .when((value < 0) & (pl.col("aggregation") != "sum"))
        .then(pl.lit("negative_quantity"))
        .alias("_value_code"),
        pl.when(is_within).then(value * factor).alias("value_mantissa"),
    )


def _first_code(rows: pl.DataFrame, at: datetime, may_take_back: bool) -> pl.DataFrame:
    """`code`: the first thing wrong with a row, null for none; `unbilled_reason` of those too old to bill."""
    latest = at + timedelta(days=1)
    horizons = {
        months: add_months(at.date(), -months)
        for months in rows["horizon_months"].drop_nulls().unique().to_list()
    }
    horizon = pl.col("horizon_months").replace_strict(horizons, default=None, return_dtype=pl.Date)
    ends = pl.min_horizontal("sold_until", "billed_until")
    is_last_day_counted = pl.col("counts_last_day") & (ends < FOREVER)
    sold_until = pl.when(is_last_day_counted).then(ends.dt.offset_by("1d")).otherwise(ends)
    is_other_customer = pl.col("customer_id").is_not_null() & (
        pl.col("customer_id") != pl.col("item_customer_id")
    )
    return rows.with_columns(
        pl.when(pl.any_horizontal(pl.col("source", "event_id", "item_id", "meter_id").is_null()))
        .then(pl.lit("missing_value"))
        .when((pl.col("value_mantissa") < 0) & (not may_take_back))  # nor later, of an item to come
        .then(pl.lit("negative_quantity"))
        .when(pl.col("item_customer_id").is_null() | is_other_customer)
        .then(pl.lit("unknown_item"))
        .when(pl.col("aggregation").is_null())
        .then(pl.lit("unknown_meter"))
        .when((pl.col("aggregation") == "unique_count") & pl.col("dimension").is_null())
        .then(pl.lit("missing_value"))
        .when(pl.col("operation").is_not_null() & ~pl.col("operation").is_in(["add", "remove"]))
        .then(pl.lit("unknown_setting"))
        .otherwise(pl.coalesce("_time_code", "_value_code"))
        .alias("code"),
        pl.when(pl.col("occurred_on") < horizon)
        .then(pl.lit("before_horizon"))
        .when(pl.col("sold_from").is_null())
        .then(pl.lit("not_sold"))
        .when(pl.col("occurred_on") < pl.max_horizontal("sold_from", "billed_from"))
        .then(pl.lit("before_start"))
        .when(pl.col("occurred_on") >= sold_until)
        .then(pl.lit("after_end"))
        .alias("unbilled_reason"),
    ).with_columns(
        pl.when(pl.col("code").is_not_null())
        .then(pl.col("code"))
        .when(pl.col("occurred_at").is_null() | (pl.col("occurred_at") < _EARLIEST))
        .then(pl.lit("bad_time"))
        .when(pl.col("occurred_at") > latest)
        .then(pl.lit("future_event"))
        .alias("code")
    )


_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
"""From here on every zone has a day of the calendar."""


# Seen before, here or in the database.

_CONTENT = ("item_id", "meter_id", "occurred_at", "value_mantissa", "operation", "dimension")


def _repeats(store: Store, at: datetime, rows: pl.DataFrame) -> pl.DataFrame:
    """`payload_hash`, and `is_duplicate` or the code of a conflict for keys that came before."""
    sound = pl.col("code").is_null()
    rows = rows.with_columns(
        pl.when(sound).then(pl.Series("payload_hash", _hashes(rows))).alias("payload_hash")
    )
    rows = rows.join(
        _known_hashes(store, at, rows.filter(sound)),
        on=["source", "event_id"],
        how="left",
        maintain_order="left",
    )
    firsts = (
        rows.lazy()
        .filter(sound)
        .unique(["source", "event_id"], keep="first", maintain_order=True)
        .select("source", "event_id", pl.col("row").alias("_first"), pl.col("payload_hash").alias("_hash"))
        .collect()
    )
    rows = rows.join(firsts, on=["source", "event_id"], how="left", maintain_order="left")
    is_first = pl.col("_known_hash").is_null() & (pl.col("row") == pl.col("_first"))
    is_repeat = (sound & ~is_first).fill_null(False)
    is_same = pl.coalesce("_known_hash", "_hash") == pl.col("payload_hash")
    return rows.with_columns(
        (is_repeat & is_same).fill_null(False).alias("is_duplicate"),
        pl.when(is_repeat & ~is_same)
        .then(pl.lit("duplicate_conflict"))
        .otherwise(pl.col("code"))
        .alias("code"),
    )


def _hashes(rows: pl.DataFrame) -> list[str]:
    """The hash of each row's content, the same in every run and for every way the content was written."""
    instant = pl.col("occurred_at").dt.strftime("%Y-%m-%d %H:%M:%S.%6f+00:00")
    content = rows.with_columns(instant).select(
        pl.concat_str(
            (
                pl.col(name)
                .cast(pl.String)
                .str.replace_all("\x1f", "\x1f\x1f", literal=True)
                .fill_null("\x1e")
                for name in _CONTENT
            ),
            separator="\x1f.",
        )
    )
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in content.to_series()]


def _known_hashes(store: Store, at: datetime, rows: pl.DataFrame) -> pl.DataFrame:
    """The hashes of those keys that the database has, once every import before this one is over."""
    keys = rows.select("source", "event_id").unique().sort("source", "event_id")
    if keys.height:
        store.take_numbers("", "usage_event", 0, 0, at)
    with store.temporary(keys) as given:
        # One look into the index a key: a join might read the whole table, which is far longer than a batch.
        known = (
            select(usage_events.c.payload_hash)
            .where(usage_events.c.source == given.c.source, usage_events.c.event_id == given.c.event_id)
            .scalar_subquery()
        )
        asked = select(given.c.source, given.c.event_id, known.label("_known_hash")).subquery()
        return store.frame(select(asked).where(asked.c["_known_hash"].is_not(None)))


# What is written.


def _write(store: Store, at: datetime, rows: pl.DataFrame, events: pl.DataFrame) -> UsageAnswer:
    """Insert what is accepted, keep what is refused as it was sent."""
    accepted = rows.filter(pl.col("code").is_null() & ~pl.col("is_duplicate"))
    rejected = rows.filter(pl.col("code").is_not_null())
    repeated = rows.filter(pl.col("code").is_null() & pl.col("is_duplicate"))["row"]
    if accepted.height:
        first = store.take_numbers("", "usage_event", 0, accepted.height, at)
        store.insert(
            usage_events,
            accepted.select(
                "source",
                "event_id",
                pl.col("item_customer_id").alias("customer_id"),
                "item_id",
                "meter_id",
                "occurred_at",
                "occurred_on",
                "value_mantissa",
                "operation",
                "dimension",
                "payload_hash",
                "unbilled_reason",
                (pl.int_range(pl.len(), dtype=pl.Int64) + first).alias("seq"),
            ),
            at,
        )
        _wake(store, at, accepted)
        counts = {"accepted": accepted.height, "duplicate": repeated.len(), "rejected": rejected.height}
        announce(store, at, [("usage.imported", str(accepted["source"][0]), counts)])
    answer = rejected.select(
        "row",
        "source",
        "event_id",
        "code",
        pl.col("code").replace_strict(REFUSALS, default=None, return_dtype=pl.String).alias("detail"),
    )
    if answer.height:
        _keep(store, at, answer, events)
    return UsageAnswer(accepted.height, repeated.len(), answer, repeated)


_ANY_THRESHOLD = select(plan_thresholds.c.plan_id).limit(1)
_WITH_THRESHOLDS = (
    select(items.c.customer_id)
    .join(
        item_versions,
        and_(item_versions.c.item_id == items.c.item_id, item_versions.c.superseded_at.is_(None)),
    )
    .join(
        plan_thresholds,
        and_(
            plan_thresholds.c.plan_id == item_versions.c.plan_id,
            plan_thresholds.c.plan_version == item_versions.c.plan_version,
        ),
    )
    .distinct()
)


def _watched(store: Store, accepted: pl.DataFrame) -> pl.Series:
    """The customers of events whose item has a plan with thresholds."""
    if store.row(_ANY_THRESHOLD) is None:
        return pl.Series("customer_id", [], dtype=pl.String)
    ids = accepted["item_id"].unique().to_list()
    return read_by_ids(store, _WITH_THRESHOLDS, items.c.item_id, ids)["customer_id"]


def _wake(store: Store, at: datetime, accepted: pl.DataFrame) -> None:
    """Let bill runs see the events: customers with nothing left to bill, or with usage that may reach a
    threshold of its plan, are due today, and settled days that an event falls on are unsettled again (from
    the day before: the day a service ends counts to its last period). Their rows are locked first, so that a
    bill run of the same moment has either seen the events or is over before its settled days are moved back
    (PostgreSQL; SQLite has one writer anyway)."""
    first = (
        accepted.filter(pl.col("unbilled_reason").is_null())
        .group_by(pl.col("item_customer_id").alias("customer_id"), "time_zone")
        .agg(pl.col("occurred_on").min().dt.offset_by("-1d").alias("since"))
        .sort("customer_id")
    )
    if first.is_empty():
        return
    zones = first["time_zone"].unique().to_list()
    days = pl.col("time_zone").replace_strict(
        {zone: local_date(at, zone) for zone in zones}, return_dtype=pl.Date
    )
    with store.temporary(first.select("customer_id")) as given:
        standing = store.frame(
            select(customers.c.customer_id, customers.c.next_bill_on, customers.c.unsettled_from)
            .join(given, given.c.customer_id == customers.c.customer_id)
            .order_by(customers.c.customer_id)
            .with_for_update(key_share=True, of=customers)
        )
    is_late = (pl.col("unsettled_from") > pl.col("since")).fill_null(False)
    watched = pl.col("customer_id").is_in(_watched(store, accepted).implode())
    is_watched = watched & (pl.col("next_bill_on") > pl.col("today")).fill_null(False)
    rows = (
        standing.join(first.with_columns(days.alias("today")), on="customer_id")
        .filter(pl.col("next_bill_on").is_null() | is_late | is_watched)
        .select(
            "customer_id",
            pl.when(is_watched)
            .then("today")
            .otherwise(pl.coalesce("next_bill_on", "today"))
            .alias("next_bill_on"),
            pl.when(is_late).then("since").otherwise("unsettled_from").alias("unsettled_from"),
        )
    )
    store.update(customers, rows, at)


# What is refused, kept, and sent again.


def _keep(store: Store, at: datetime, rejected: pl.DataFrame, events: pl.DataFrame) -> None:
    """Keep refused rows as they were sent. The same row with the same fault is kept once: its id says so.
    What is sent again from there and still has to wait is there already."""
    if "_payload" in events.columns:
        rejected = rejected.filter(~pl.col("code").is_in(QUARANTINE))
    as_sent = pl.col("_payload") if "_payload" in events.columns else rows_as_json(events)
    payload = events[rejected["row"]].select(as_sent.alias("payload")).to_series()
    keep_rejected_once(store, at, "import_usage", rejected.select("code", "detail", payload))


_QUARANTINED = (
    select(rejected_inputs.c.reject_id, rejected_inputs.c.code, rejected_inputs.c.payload)
    .where(
        rejected_inputs.c.source == "import_usage",
        rejected_inputs.c.code.in_(QUARANTINE),
        rejected_inputs.c.reject_id > bindparam("after"),
        ~exists().where(resolved_inputs.c.reject_id == rejected_inputs.c.reject_id),
    )
    .order_by(rejected_inputs.c.reject_id)
    .limit(bindparam("rows"))
)


def retry_rejected(store: Store, at: datetime, *, chunk_rows: int = 100_000) -> UsageTotals:
    """Send again the events whose item or meter was unknown. Those taken in, or refused for another reason by
    now, are resolved; the others wait on, and are the `rejected` of the answer."""
    totals, after = UsageTotals(), ""
    while True:
        with store.transaction():
            kept = store.frame(_QUARANTINED, {"after": after, "rows": chunk_rows})
            if kept.is_empty():
                return totals
            after = kept["reject_id"][-1]
            events = _sent(kept["payload"])
            answer = _take_in(store, at, _with_columns(events, at), events)
            waiting = answer.rejected.filter(pl.col("code").is_in(QUARANTINE))["row"]
            resolved = kept.with_row_index("row").filter(~pl.col("row").is_in(waiting.implode()))
            store.insert_new(resolved_inputs, resolved.select("reject_id"), at)
        totals = totals.plus(answer)


def _sent(payloads: pl.Series) -> pl.DataFrame:
    """The events of kept rows, all as text."""
    names = [*REQUIRED, *OPTIONAL]
    return payloads.to_frame("_payload").select(
        "_payload", *(pl.col("_payload").str.json_path_match(f"$.{name}").alias(name) for name in names)
    )
