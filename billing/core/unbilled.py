"""Usage that is not billed, and why: what falls outside of service, and what came too late.

Days without service are ranges of an item and its meter. How late usage may come is the policy's word
[`late_usage`]: a period that was billed reads again what its invoice counted, and of what came later what the
setting allows. The rest keeps a reason and is never billed.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import polars as pl

from billing.core.calendar import midnight
from billing.core.cuts import FOREVER
from billing.core.invoicing import SERVICE_KEY, PolicyKey, PolicyVersion, by_policy, version_on
from billing.core.policy import Policy

LATE = "late"
OUT_OF_SERVICE = ("before_start", "after_end", "no_service", "not_sold", "trial")
"""Reasons that only say on which side of service an event lies. They go when the service comes to it."""

RANGE_SCHEMA = pl.Schema(
    {
        "customer_id": pl.String(),
        "item_id": pl.String(),
        "meter_id": pl.String(),
        "first_day": pl.Date(),
        "end_day": pl.Date(),
        "reason": pl.String(),
        "after_seq": pl.Int64(),
        "arrived_from": pl.Datetime("us", "UTC"),
    }
)
"""Events of a reason: of an item's meter, on days from `first_day` up to before `end_day`, and only those
that came after the event `after_seq` and from the instant `arrived_from` on, where these are not null."""

DAY_SCHEMA = pl.Schema(
    {
        "customer_id": pl.String(),
        "item_id": pl.String(),
        "meter_id": pl.String(),
        "floor": pl.Date(),
        "start": pl.Date(),
        "end": pl.Date(),
    }
)

ALWAYS = 2**62
"""A place in the order of arrival after every event."""


def served_until(settings: Policy, columns: list[str]) -> pl.Expr:
    """The day up to before which usage counts to a stretch (or segment) of service that ends with its
    `service_end` [`end_day_usage`]: the day a service ends counts to its last period."""
    last_day = pl.col("service_end")
    if settings.end_day_usage != "include":
        return last_day
    ends_here = pl.col("ends_here")
    if "closes_on" in columns:
        # Where the day of the end is used, it is within the service already.
        ends_here &= pl.col("closes_on") == pl.col("service_end")
    return pl.when(ends_here & (last_day < FOREVER)).then(last_day.dt.offset_by("1d")).otherwise(last_day)


# Outside of service.


def served(service: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """The days on which usage counts, as DAY_SCHEMA. service: as `stretches` gives it."""
    usage = service.filter("is_usage").rename({"stops": "ends_here", "end": "service_end"})
    until = served_until(settings, usage.columns).alias("end")
    return usage.select("customer_id", "item_id", "meter_id", "floor", "start", until)


def without_service(days: pl.DataFrame, terms: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """The days on which no service of an item counts usage, after its first, as RANGE_SCHEMA.

    days: as `served` gives them. Looked at is what ended on unsettled days; whether an event lies before all
    service, or after one that ended long ago, is known when it comes.
    """
    found = []
    meter = ["item_id", "meter_id"]
    ended = days.filter(pl.col("end") < FOREVER, pl.col("end") >= pl.col("floor"))
    if ended.height:
        stretches = days.join(ended.select(meter).unique(), on=meter, how="semi").sort(*meter, "start")
        ends = pl.col("end").cum_max().over(meter)
        following = pl.col("start").shift(-1).over(meter)
        found.append(
            stretches.select(
                "customer_id",
                *meter,
                ends.alias("first_day"),
                following.fill_null(FOREVER).alias("end_day"),
                pl.when(following.is_null())
                .then(pl.lit("after_end"))
                .otherwise(pl.lit("no_service"))
                .alias("reason"),
            ).filter(pl.col("first_day") < pl.col("end_day"))
        )
    if settings.trial_usage == "free":
        trials = terms.filter(pl.col("kind") == "usage", pl.col("phase") == "trial")
        ends = pl.min_horizontal("effective_end", "ends_on").fill_null(FOREVER)
        found.append(
            trials.filter(ends >= pl.col("floor")).select(
                "customer_id",
                *meter,
                pl.col("effective_start").alias("first_day"),
                ends.alias("end_day"),
                pl.lit("trial").alias("reason"),
            )
        )
    empty = pl.DataFrame(schema=RANGE_SCHEMA)
    return pl.concat([empty, *(one for one in found if one.height)], how="diagonal")


# Too late.


def has_limit(policies: Mapping[PolicyKey, Policy]) -> bool:
    return any(settings.late_usage != "next_invoice" for settings in policies.values())


def with_limits(
    compared: pl.DataFrame, due: pl.DataFrame, snapshots: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Adds to usage segments what they may still count: events up to `counts_seq` in the order of arrival,
    and those that arrived before `counts_until`.

    due: all usage segments that are due, of which `compared` are some. snapshots: the last billed quantity of
    a period, with `last_event_seq`. A period that was not billed yet counts everything. Of one that was, what
    came later counts under `days:n` up to the end of the n-th day after it ended, under `periods:n` where at
    most n - 1 later periods of the item were billed since; under `while_draft` nothing does.
    """
    key = SERVICE_KEY
    billed = snapshots.select(*key, pl.col("last_event_seq").alias("counts_seq"))
    periods = (
        due.join(billed, on=key, how="left")
        .group_by("item_id", "reference_start")
        .agg(pl.col("counts_seq").is_not_null().any().alias("_is_billed"))
        .sort("item_id", "reference_start", descending=[False, True])
        .with_columns(pl.col("_is_billed").cum_sum().over("item_id").alias("_back"))
        .with_columns((pl.col("_back") - pl.col("_is_billed") + 1).cast(pl.Int64).alias("_back"))
        .drop("_is_billed")
    )
    rows = compared.join(billed, on=key, how="left", maintain_order="left").join(
        periods, on=["item_id", "reference_start"], how="left", maintain_order="left"
    )
    always, never = pl.lit(ALWAYS, pl.Int64), pl.lit(None, pl.Datetime("us", "UTC"))

    def limited(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        kind, _, number = settings.late_usage.partition(":")
        seq, until = pl.col("counts_seq"), never
        if kind == "next_invoice":
            seq = always
        elif kind == "periods":
            seq = pl.when(pl.col("_back") <= int(number)).then(always).otherwise(seq)
        elif kind == "days":
            part = _with_days_after(part, int(number))
            until = pl.col("_until")
        # What is paid in advance is billed before the period it belongs to is over.
        seq = pl.when(pl.col("is_ahead").fill_null(False)).then(always).otherwise(seq.fill_null(ALWAYS))
        return part.with_columns(seq.alias("counts_seq"), until.alias("counts_until"))

    columns = [*compared.columns, "counts_seq", "counts_until"]
    return by_policy(rows, policies, lambda part, one: limited(part, one).select(columns))


def without_waiting(
    rows: pl.DataFrame, snapshots: pl.DataFrame, settled: pl.DataFrame, regular: pl.DataFrame
) -> pl.DataFrame:
    """Usage segments as they were billed, where what came since waits for the item's next regular invoice.

    rows: as `with_limits` gives them. settled: `customer_id`, and `unsettled_from`, null where nothing is
    settled. regular: `item_id` of those whose invoice is due. A segment that waits counts what had come when
    it was billed; one that was never billed and waits is left out.
    """
    billed = snapshots.select(*SERVICE_KEY, pl.col("last_event_seq").alias("_billed_seq"))
    marked = (
        rows.join(settled, on="customer_id", how="left", maintain_order="left")
        .join(billed, on=SERVICE_KEY, how="left", maintain_order="left")
        .join(
            regular.with_columns(pl.lit(True).alias("_is_regular")),
            on="item_id",
            how="left",
            maintain_order="left",
        )
    )
    is_settled = (pl.col("reference_end") <= pl.col("unsettled_from")).fill_null(False)
    waits = ~is_settled & pl.col("_is_regular").is_null()
    return (
        marked.filter(~waits | pl.col("_billed_seq").is_not_null())
        .with_columns(
            pl.when(waits).then("_billed_seq").otherwise("counts_seq").alias("counts_seq"),
            pl.when(waits).then(None).otherwise("counts_until").alias("counts_until"),
        )
        .select(rows.columns)
    )


def _with_days_after(rows: pl.DataFrame, days: int) -> pl.DataFrame:
    """`_until`: the end of the n-th day after the service ended, in the customer's zone. The first day that
    is no more of the service is day 0."""
    ends = rows.select("time_zone", "service_end").unique()
    instants: list[datetime] = [
        midnight(_later(end, days + 1), zone) for zone, end in ends.select("time_zone", "service_end").rows()
    ]
    table = ends.with_columns(pl.Series("_until", instants, dtype=pl.Datetime("us", "UTC")))
    return rows.join(table, on=["time_zone", "service_end"], how="left", maintain_order="left")


def with_frozen(
    compared: pl.DataFrame,
    snapshots: pl.DataFrame,
    frozen: pl.DataFrame,
    known: pl.DataFrame,
    versions: Sequence[PolicyVersion],
) -> pl.DataFrame:
    """Lets usage segments count what came before their quantities were frozen: by an act, or, of a whole
    period that was not billed yet, when the days of grace end that held on the day it became due (at the
    customer's midnight). Adds `is_held`: what came later belongs to a later invoice.

    compared: as `with_limits` gives it, or without limits. snapshots: the quantities of periods that were
    billed. frozen: those frozen by an act and not billed since (LINE_KEY, SERVICE, `last_event_seq`). known:
    when each item was recorded (`item_id`, `recorded_at`): days of grace do not end before that. A part of a
    period is not frozen by them, since a change dated back may have made it just now, nor is a level paid in
    advance.
    """
    key = SERVICE_KEY
    if "counts_seq" not in compared.columns:
        compared = compared.with_columns(
            pl.lit(ALWAYS, pl.Int64).alias("counts_seq"),
            pl.lit(None, pl.Datetime("us", "UTC")).alias("counts_until"),
        )
    is_whole = (pl.col("due_on") == pl.col("reference_end")) & (
        pl.col("service_end") == pl.col("reference_end")
    )
    rows = (
        _with_ends_of_grace(compared, versions)
        .join(
            snapshots.select(*key, pl.lit(True).alias("_is_billed")),
            on=key,
            how="left",
            maintain_order="left",
        )
        .join(
            frozen.select(*key, pl.col("last_event_seq").alias("_seq")),
            on=key,
            how="left",
            maintain_order="left",
        )
        .join(known, on="item_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("_is_billed").is_null() & is_whole & pl.col("_ends").is_not_null()).then(
                pl.max_horizontal("_ends", pl.col("recorded_at") + pl.col("_grace"))
            )
        )
    )
    by_act, by_grace = pl.col("_seq").is_not_null(), pl.col("_ends").is_not_null()
    return rows.with_columns(
        pl.when(by_act).then("_seq").when(by_grace).then(0).otherwise("counts_seq").alias("counts_seq"),
        pl.when(by_act)
        .then(None)
        .when(by_grace)
        .then("_ends")
        .otherwise("counts_until")
        .alias("counts_until"),
        (by_act | by_grace).alias("is_held"),
    ).select(*compared.columns, "is_held")


def _with_ends_of_grace(rows: pl.DataFrame, versions: Sequence[PolicyVersion]) -> pl.DataFrame:
    """`_grace`, the days of grace that held on the day usage became due, and `_ends`, when they end in the
    customer's zone; null without."""
    cases = rows.select("time_zone", "due_on").unique()
    of_days = [version_on(versions, on).settings.grace_days for on in cases["due_on"]]
    ends = [
        midnight(_later(on, days), zone) if days else None
        for (zone, on), days in zip(cases.iter_rows(), of_days, strict=True)
    ]
    table = cases.with_columns(
        pl.Series("_grace", [timedelta(days=days) for days in of_days], dtype=pl.Duration("us")),
        pl.Series("_ends", ends, dtype=pl.Datetime("us", "UTC")),
    )
    return rows.join(table, on=cases.columns, how="left", maintain_order="left")


def _later(on: date, days: int) -> date:
    return min(on, FOREVER - timedelta(days=days)) + timedelta(days=days)


def too_late(compared: pl.DataFrame) -> pl.DataFrame:
    """The ranges of events that came too late for the periods compared, as RANGE_SCHEMA.

    compared: as `with_limits` gives it, with `usage_end`, the day up to before which their usage counts.
    What came after a draft was frozen belongs to a later invoice, by the same setting.
    """
    if "is_held" in compared.columns:
        compared = compared.filter(~pl.col("is_held"))
    return compared.filter(pl.col("counts_seq") < ALWAYS).select(
        "customer_id",
        "item_id",
        "meter_id",
        pl.col("service_start").alias("first_day"),
        pl.col("usage_end").alias("end_day"),
        pl.lit(LATE).alias("reason"),
        pl.col("counts_seq").alias("after_seq"),
        pl.col("counts_until").alias("arrived_from"),
    )
