"""Where terms cut time: the settings that move a cut (`change_day`, `cancel_day`, `term_end`), and the level
of seats that stays paid (`seat_decrease` high_water).

A moved cut changes what time is owed, never when it is due: `begins_on` and `closes_on` keep the day on which
the change or the end was agreed to act. With the default settings nothing here is asked.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl

from billing.core.calendar import parse_interval, period_containing
from billing.core.money import power_of_ten, wide
from billing.core.policy import Policy

FOREVER = date(9999, 12, 31)
A_DAY = timedelta(days=1)


def agreed() -> pl.Expr:
    """What makes the terms of two stretches equal: price, quantity and discounts."""
    return pl.format(
        "{}|{}e-{}|{}",
        pl.col("price_id").fill_null(""),
        "quantity_mantissa",
        "quantity_scale",
        "discount_ids",
    ).alias("agreed")


def agreed_discounts(terms_id: str = "terms_id") -> pl.Expr:
    """The discounts that a line's terms name: `agreed`, of which `terms_id` is made, holds them last."""
    return pl.col(terms_id).str.extract(r"\|\d+e-\d+\|([^|]*)\|[^|]*$").fill_null("").alias("discount_ids")


def service_bounds() -> list[pl.Expr]:
    """`start` and `end` of the service of each version: within billing and the subscription's life."""
    return [
        pl.max_horizontal("effective_start", "billing_starts_on").alias("start"),
        pl.min_horizontal(
            pl.col("effective_end").fill_null(FOREVER), pl.col("ends_on").fill_null(FOREVER)
        ).alias("end"),
    ]


def moves_cuts(settings: Policy) -> bool:
    """Whether some cut may lie elsewhere than on the day of its change."""
    used = "used" in (settings.change_day, settings.cancel_day)
    return used or settings.term_end == "full"


def with_moved_cuts(terms: pl.DataFrame, settings: Policy, is_running: pl.Expr) -> pl.DataFrame:
    """`start` and `end` of versions as `service_bounds`, but for cuts that are moved, with the days on which
    they are due: `begins_on`, `closes_on`.

    terms: rows of versions, with `canceled_on` (a cancellation that acted the day it was asked for) and
    `is_term_end` (the subscription ends with its contract). is_running: whether a version is in service.

    change_day used: the day a change acts belongs to the terms before it, unless a period ends there, for a
    boundary prorates nothing. cancel_day used: the day of a cancellation belongs to the service. term_end
    full: a fee or seat is owed to the end of the period in which the term ends.
    """
    is_canceled = pl.col("canceled_on") == pl.col("ends_on")
    cancel_cut = pl.when(is_canceled).then(_cut(pl.col("ends_on"), settings.cancel_day)).otherwise("ends_on")
    rows = terms.with_columns(service_bounds()).with_columns(
        pl.col("start").alias("begins_on"),
        pl.col("end").alias("closes_on"),
        cancel_cut.fill_null(FOREVER).alias("_life_end"),
    )
    rows = rows.with_columns(
        pl.min_horizontal(pl.col("effective_end").fill_null(FOREVER), "_life_end").alias("end")
    )
    if settings.change_day == "used":
        rows = _with_used_days(rows, is_running)
    if settings.term_end == "full":
        rows = _with_full_ends(rows)
    return rows.drop("_life_end")


def _cut(on: pl.Expr, setting: str) -> pl.Expr:
    """`cut_of_time` for a column."""
    return on.dt.offset_by("1d") if setting == "used" else on


def _with_used_days(rows: pl.DataFrame, is_running: pl.Expr) -> pl.DataFrame:
    """Moves each cut between terms of an item by a day, so that the terms before keep the day."""
    versions = rows.select(
        "item_id",
        "is_add_on",
        "effective_start",
        "effective_end",
        "anchor_on",
        "interval",
        "_life_end",
        ((pl.col("phase") != "trial") & is_running).alias("_is_paid"),
    ).unique(["item_id", "effective_start"])
    starts = versions.select("item_id", pl.col("effective_start").alias("effective_end"))
    followed = versions.join(starts, on=["item_id", "effective_end"], how="semi")
    ended = pl.concat([followed, versions.filter("is_add_on")]).unique(["item_id", "effective_start"])
    moved = _beside_boundaries(
        ended.filter("_is_paid", pl.col("effective_end") < pl.col("_life_end")), "effective_end"
    ).select("item_id", "effective_start", "effective_end", pl.lit(True).alias("_is_moved"))
    rows = rows.join(
        moved.drop("effective_end"), on=["item_id", "effective_start"], how="left", maintain_order="left"
    ).join(
        moved.select(
            "item_id",
            pl.col("effective_end").alias("effective_start"),
            pl.lit(True).alias("_follows"),
        ),
        on=["item_id", "effective_start"],
        how="left",
        maintain_order="left",
    )
    rows = rows.with_columns(
        pl.when("_is_moved")
        .then(pl.min_horizontal(_cut(pl.col("effective_end"), "used"), "_life_end"))
        .otherwise("end")
        .alias("end"),
        pl.when("_follows")
        .then(pl.max_horizontal(_cut(pl.col("effective_start"), "used"), "start"))
        .otherwise("start")
        .alias("start"),
    ).drop("_is_moved", "_follows")
    # Terms that begin with a period are due with it.
    on_boundary = rows.filter(pl.col("start") > pl.col("begins_on")).select("anchor_on", "interval", "start")
    on_boundary = on_boundary.unique().join(
        _beside_boundaries(on_boundary.unique(), "start"), on=on_boundary.columns, how="anti"
    )
    return (
        rows.join(
            on_boundary.with_columns(pl.col("start").alias("_due")),
            on=on_boundary.columns,
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.coalesce("_due", "begins_on").alias("begins_on"))
        .drop("_due")
    )


def _beside_boundaries(rows: pl.DataFrame, day: str) -> pl.DataFrame:
    """Without the rows whose day is a boundary of their own periods."""
    key = ["anchor_on", "interval", day]
    asked = rows.select(key).drop_nulls().unique()
    beside = [
        on != period_containing(anchor, parse_interval(text), on).start for anchor, text, on in _each(asked)
    ]
    return rows.join(asked.filter(pl.Series(beside, dtype=pl.Boolean)), on=key, how="semi")


def _each(rows: pl.DataFrame) -> Iterable[tuple[date, str, date]]:
    return rows.iter_rows()


def _with_full_ends(rows: pl.DataFrame) -> pl.DataFrame:
    """Moves the end of a term to the end of the period it lies in; usage ends with the term."""
    ends = (pl.col("kind") != "usage") & pl.col("is_term_end") & (pl.col("end") == pl.col("ends_on"))
    key = ["anchor_on", "interval", "end"]
    asked = rows.filter(ends & (pl.col("start") < pl.col("end"))).select(key).unique()
    whole = [
        period_containing(anchor, parse_interval(text), end - A_DAY).end for anchor, text, end in _each(asked)
    ]
    table = asked.with_columns(pl.Series("_whole", whole, dtype=pl.Date))
    return (
        rows.join(table, on=key, how="left", maintain_order="left")
        .with_columns(pl.when(ends).then(pl.coalesce("_whole", "end")).otherwise("end").alias("end"))
        .drop("_whole")
    )


def credits_due(to_credit: pl.DataFrame, charged: pl.DataFrame, service: pl.DataFrame) -> pl.DataFrame:
    """Adds `due_on` to time to credit: the day its terms closed, else the day it begins.

    to_credit: `line_id`, `service_start`. charged: `line_id`, `item_id`, `component_id`. service: stretches
    with moved ends (`end`, `closes_on`).
    """
    closed = service.filter(pl.col("closes_on") < pl.col("end")).select(
        "item_id", "component_id", pl.col("end").alias("service_start"), "closes_on"
    )
    keys = charged.select("line_id", "item_id", "component_id")
    return (
        to_credit.join(keys, on="line_id", how="left", maintain_order="left")
        .join(
            closed.unique(["item_id", "component_id", "service_start"]),
            on=["item_id", "component_id", "service_start"],
            how="left",
            maintain_order="left",
        )
        .with_columns(pl.coalesce("closes_on", "service_start").alias("due_on"))
        .drop("item_id", "component_id", "closes_on")
    )


def with_high_water(parts: pl.DataFrame) -> pl.DataFrame:
    """Seats billed in advance stay owed at the highest level of their period so far.

    parts: segments with `reference_start`, `service_start` and the quantity as it is priced. So fewer seats
    give nothing back inside the period, and more are free up to the level paid.
    """
    is_level = (pl.col("kind") == "seat") & pl.col("in_advance")
    level = wide(pl.col("quantity_mantissa")) * power_of_ten(12 - pl.col("quantity_scale"))
    within = ["item_id", "component_id", "reference_start", "reference_end", "price_id", "discount_ids"]
    seats = parts.filter(is_level)
    if seats.is_empty():
        return parts
    raised = (
        seats.sort("item_id", "component_id", "service_start")
        .with_columns(level.alias("_level"))
        .with_columns((pl.col("_level") == pl.col("_level").cum_max().over(within)).alias("_is_top"))
        .with_columns(
            pl.when("_is_top").then(name).forward_fill().over(within).alias(name)
            for name in ("quantity_mantissa", "quantity_scale")
        )
        .drop("_level", "_is_top")
        .with_columns(agreed())
    )
    return pl.concat([parts.filter(~is_level), raised.select(parts.columns)]).sort(
        "item_id", "component_id", "service_start", maintain_order=True
    )
