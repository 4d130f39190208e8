"""Takes in usage events in bulk: each event once, every bad row refused with its code and kept.

An event is known by (source, event_id). The same content again is a duplicate and changes nothing; other
content under the same key is refused. One bad row never refuses the others: accepted, duplicate and rejected
rows add up to the rows sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import add_months, local_date, local_dates
from billing.core.money import QUANTITY_LIMIT, BillingError
from billing.store.messages import announce, keep_rejected
from billing.store.store import Store
from billing.store.tables import customers, items, meters, policies, usage_events

REQUIRED = ("source", "event_id", "item_id", "meter_id", "value")
OPTIONAL = ("customer_id", "occurred_at", "occurred_on", "operation", "dimension")
_TEXTS = ("source", "event_id", "customer_id", "item_id", "meter_id", "operation", "dimension")
_IDS_A_QUERY = 10_000
_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)$"
_NAIVE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?$"
_DECIMAL = r"^([+-]?)(\d*)(?:\.(\d*))?$"


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """What became of the rows sent. `rejected`: `row` (from 0), `source`, `event_id`, `code`, `detail`."""

    accepted: int
    duplicate: int
    rejected: pl.DataFrame


def import_usage(store: Store, at: datetime, events: pl.DataFrame) -> UsageAnswer:
    """Add usage events.

    events: one row an event, with text columns `source`, `event_id`, `item_id`, `meter_id`; `value`, an
    integer or decimal text of at most the meter's decimals; `occurred_at`, an instant with time zone or its
    ISO text, or else `occurred_on`, a day of the customer counted at its start; and if any `customer_id`
    (must be the item's), `operation` (add, remove), `dimension`.

    Codes of refused rows: missing_value, float_money, bad_decimal, too_many_decimals, amount_out_of_range,
    negative_quantity, unknown_meter, unknown_item, unknown_setting, naive_time, bad_time, future_event,
    duplicate_conflict. An event before the horizon is kept, with `unbilled_reason` before_horizon.
    Raises `missing_column` and `naive_time` for a frame none of whose rows could be right.

    Billing finds usage by the item's next due day; only a customer with nothing left to bill is marked.
    """
    rows = _with_columns(events, at)
    if rows.is_empty():
        return UsageAnswer(0, 0, _REJECTED_FRAME)
    with store.transaction():
        rows = _known_things(store, rows)
        rows = _valued(_timed(rows, at))
        rows = _first_code(rows, at)
        rows = _repeats(store, rows)
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


def _with_columns(events: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """The rows with all columns, numbered, texts as text. Raises `missing_column`, `naive_time`."""
    if at.tzinfo is None:
        raise BillingError("naive_time", f"{at} has no time zone")
    missing = [name for name in REQUIRED if name not in events.columns]
    if "occurred_at" not in events.columns and "occurred_on" not in events.columns:
        missing.append("occurred_at")
    if missing:
        raise BillingError("missing_column", ", ".join(missing))
    kind = events.schema.get("occurred_at")
    if isinstance(kind, pl.Datetime) and kind.time_zone is None:
        raise BillingError("naive_time", "column occurred_at has no time zone")
    given = [name for name in (*REQUIRED, *OPTIONAL) if name in events.columns]
    absent = [name for name in _TEXTS if name not in events.columns]
    return events.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
        *(pl.col(name).cast(pl.String) if name in _TEXTS else pl.col(name) for name in given),
        *(pl.lit(None, dtype=pl.String).alias(name) for name in absent),
    )


# What the rows name.

_ITEMS = select(
    items.c.item_id,
    items.c.customer_id.label("item_customer_id"),
    customers.c.time_zone,
    customers.c.policy_name,
).join(customers, customers.c.customer_id == items.c.customer_id)
_METERS = select(meters.c.meter_id, meters.c.aggregation, meters.c.scale)
_HORIZONS = select(policies.c.name.label("policy_name"), policies.c.valid_from, policies.c.horizon_months)


def _known_things(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """Beside each row its item's customer, zone and horizon, and its meter's scale; null where unknown."""
    ids = rows["item_id"].drop_nulls().unique(maintain_order=True).to_list()
    parts = [store.frame(_ITEMS.where(items.c.item_id.in_(part))) for part in _parts(ids)]
    known = pl.concat([store.frame(_ITEMS.limit(0)), *parts])
    horizons = (
        store.frame(_HORIZONS.order_by(policies.c.valid_from, policies.c.version))
        .group_by("policy_name")
        .last()
    )
    return (
        rows.join(known, on="item_id", how="left", maintain_order="left")
        .join(horizons, on="policy_name", how="left", maintain_order="left")
        .join(store.frame(_METERS), on="meter_id", how="left", maintain_order="left")
    )


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_A_QUERY] for start in range(0, len(ids), _IDS_A_QUERY)]


# When and how much.


def _timed(rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """`occurred_at` as an instant (null where it cannot be), `occurred_on` in the customer's zone, and the
    code of what is wrong with the time."""
    code = pl.lit(None, dtype=pl.String)
    if "occurred_at" not in rows.columns:
        rows = rows.with_columns(pl.col("occurred_on").cast(pl.Date, strict=False))
        code = pl.when(pl.col("occurred_on").is_null()).then(pl.lit("bad_time"))
        zoned = [
            part.with_columns(
                pl.col("occurred_on")
                .cast(pl.Datetime("us"))
                .dt.replace_time_zone(_zone(zone), non_existent="null", ambiguous="earliest")
                .dt.convert_time_zone("UTC")
                .alias("occurred_at")
            )
            for (zone,), part in rows.group_by("time_zone", maintain_order=True)
        ]
        return pl.concat(zoned).sort("row").with_columns(code.alias("_time_code"))
    if rows.schema["occurred_at"] == pl.String:
        text = pl.col("occurred_at")
        code = (
            pl.when(text.str.contains(_ZONED))
            .then(None)
            .when(text.str.contains(_NAIVE))
            .then(pl.lit("naive_time"))
            .otherwise(pl.lit("bad_time"))
        )
        moment = text.str.replace(" ", "T").str.replace(r"Z$", "+00:00")
        parsed = pl.coalesce(
            moment.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
            for pattern in ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%:z")
        )
        rows = rows.with_columns(
            code.alias("_time_code"),
            pl.when(text.str.contains(_ZONED)).then(parsed).alias("occurred_at"),
        )
    else:
        instant = pl.col("occurred_at").dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
        rows = rows.with_columns(code.alias("_time_code"), instant.alias("occurred_at"))
    zoned = [
        part.with_columns(local_dates(pl.col("occurred_at"), _zone(zone)).alias("occurred_on"))
        for (zone,), part in rows.drop("occurred_on", strict=False).group_by("time_zone", maintain_order=True)
    ]
    return pl.concat(zoned).sort("row")


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


def _first_code(rows: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """`code`: the first thing wrong with a row, null for none; `unbilled_reason` of those too old to bill."""
    latest = at + timedelta(days=1)
    horizons = {
        months: add_months(at.date(), -months)
        for months in rows["horizon_months"].drop_nulls().unique().to_list()
    }
    horizon = pl.col("horizon_months").replace_strict(horizons, default=None, return_dtype=pl.Date)
    is_other_customer = pl.col("customer_id").is_not_null() & (
        pl.col("customer_id") != pl.col("item_customer_id")
    )
    return rows.with_columns(
        pl.when(pl.any_horizontal(pl.col("source", "event_id", "item_id", "meter_id").is_null()))
        .then(pl.lit("missing_value"))
        .when(pl.col("item_customer_id").is_null() | is_other_customer)
        .then(pl.lit("unknown_item"))
        .when(pl.col("aggregation").is_null())
        .then(pl.lit("unknown_meter"))
        .when(pl.col("operation").is_not_null() & ~pl.col("operation").is_in(["add", "remove"]))
        .then(pl.lit("unknown_setting"))
        .otherwise(pl.coalesce("_time_code", "_value_code"))
        .alias("code"),
        pl.when(pl.col("occurred_on") < horizon).then(pl.lit("before_horizon")).alias("unbilled_reason"),
    ).with_columns(
        pl.when(pl.col("code").is_not_null())
        .then(pl.col("code"))
        .when(pl.col("occurred_at").is_null())
        .then(pl.lit("bad_time"))
        .when(pl.col("occurred_at") > latest)
        .then(pl.lit("future_event"))
        .alias("code")
    )


# Seen before, here or in the database.

_CONTENT = ("item_id", "meter_id", "occurred_at", "value_mantissa", "operation", "dimension")


def _repeats(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """`payload_hash`, and `is_duplicate` or the code of a conflict for keys that came before."""
    sound = pl.col("code").is_null()
    rows = rows.with_columns(
        pl.when(sound).then(pl.Series("payload_hash", _hashes(rows))).alias("payload_hash")
    )
    known = _known_hashes(store, rows.filter(sound))
    rows = rows.join(known, on=["source", "event_id"], how="left", maintain_order="left")
    first = pl.col("payload_hash").filter(sound).first().over("source", "event_id")
    before = pl.coalesce("_known_hash", first)
    is_first = (
        sound
        & pl.col("_known_hash").is_null()
        & (pl.col("row") == pl.col("row").filter(sound).min().over("source", "event_id"))
    )
    return rows.with_columns(
        (sound & ~is_first & (before == pl.col("payload_hash"))).fill_null(False).alias("is_duplicate"),
        pl.when(sound & ~is_first & (before != pl.col("payload_hash")))
        .then(pl.lit("duplicate_conflict"))
        .otherwise(pl.col("code"))
        .alias("code"),
    )


def _hashes(rows: pl.DataFrame) -> list[str]:
    """A hash of each row's content, the same in every run and for every way the content was written."""
    content = rows.select(
        pl.concat_str(
            (
                pl.col(name).cast(pl.String).str.replace_all("\x1f", "\x1f\x1f").fill_null("\x1e")
                for name in _CONTENT
            ),
            separator="\x1f.",
        )
    ).to_series()
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in content]


_KNOWN = select(
    usage_events.c.source, usage_events.c.event_id, usage_events.c.payload_hash.label("_known_hash")
)


def _known_hashes(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    found = [store.frame(_KNOWN.limit(0))]
    for (source,), part in rows.group_by("source", maintain_order=True):
        asked = _KNOWN.where(usage_events.c.source == source)
        found += [
            store.frame(asked.where(usage_events.c.event_id.in_(ids)))
            for ids in _parts(part["event_id"].unique(maintain_order=True).to_list())
        ]
    return pl.concat(found)


# What is written.

_DETAILS = {
    "missing_value": "an id or the value is missing",
    "unknown_item": "no such item of this customer",
    "unknown_meter": "no such meter",
    "unknown_setting": "operation is add or remove",
    "naive_time": "the time has no zone",
    "bad_time": "the time cannot be read",
    "future_event": "more than a day ahead",
    "float_money": "a binary float is not exact: send decimal text",
    "bad_decimal": "the value is no decimal number",
    "too_many_decimals": "more decimals than the meter has",
    "amount_out_of_range": "beyond 10^15 of the meter's smallest unit",
    "negative_quantity": "only a sum may fall",
    "duplicate_conflict": "this event id came before with other content",
}

_SETTLED = (
    select(customers.c.customer_id, customers.c.next_bill_on, customers.c.unsettled_from)
    .where(customers.c.customer_id.in_(bindparam("ids", expanding=True)))
    .order_by(customers.c.customer_id)
    .with_for_update(key_share=True)
)
"""Locked, so that no bill run settles the days of events it cannot see yet (PostgreSQL; SQLite has one writer
anyway)."""


def _write(store: Store, at: datetime, rows: pl.DataFrame, events: pl.DataFrame) -> UsageAnswer:
    """Insert what is accepted, keep what is refused as it was sent."""
    accepted = rows.filter(pl.col("code").is_null() & ~pl.col("is_duplicate"))
    rejected = rows.filter(pl.col("code").is_not_null())
    duplicates = rows.height - accepted.height - rejected.height
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
        counts = {"accepted": accepted.height, "duplicate": duplicates, "rejected": rejected.height}
        announce(store, at, [("usage.imported", str(accepted["source"][0]), counts)])
    sent = events[rejected["row"].to_list()].to_dicts()
    codes = rejected["code"].to_list()
    refused = [(code, _DETAILS[code], row) for code, row in zip(codes, sent, strict=True)]
    keep_rejected(store, at, "import_usage", refused)
    answer = rejected.select(
        "row",
        "source",
        "event_id",
        "code",
        pl.col("code").replace_strict(_DETAILS, default=None, return_dtype=pl.String).alias("detail"),
    )
    return UsageAnswer(accepted.height, duplicates, answer)


def _wake(store: Store, at: datetime, accepted: pl.DataFrame) -> None:
    """Let bill runs see the events: customers with nothing left to bill are due today, and settled days that
    an event falls on are unsettled again (from the day before: the day a service ends counts to its last
    period)."""
    first = (
        accepted.filter(pl.col("unbilled_reason").is_null())
        .group_by(pl.col("item_customer_id").alias("customer_id"), "time_zone")
        .agg(pl.col("occurred_on").min().dt.offset_by("-1d").alias("since"))
        .sort("customer_id")
    )
    zones = first["time_zone"].unique().to_list()
    days = pl.col("time_zone").replace_strict(
        {zone: local_date(at, zone) for zone in zones}, return_dtype=pl.Date
    )
    for part in first.with_columns(days.alias("today")).iter_slices(_IDS_A_QUERY):
        is_late = pl.col("unsettled_from") > pl.col("since")
        rows = (
            store.frame(_SETTLED, {"ids": part["customer_id"].to_list()})
            .join(part, on="customer_id")
            .filter(pl.col("next_bill_on").is_null() | is_late.fill_null(False))
            .select(
                "customer_id",
                pl.coalesce("next_bill_on", "today"),
                pl.when(is_late).then("since").otherwise("unsettled_from").alias("unsettled_from"),
            )
        )
        store.update(customers, rows, at)
