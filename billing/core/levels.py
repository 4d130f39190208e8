"""Levels of recurring meters that cost the days they are present, or are paid in advance.

Prorated by day, the level a service opens with is priced for all its days; a change is priced at its place in
the level when it comes (added on top, removed from the top), from its own day to the end of the service, over
the days of the whole period. In advance only a level above the highest already paid in the period costs
money. Flat fees are due whole once their tier is entered. The rule for one meter is usage.charges_by_day;
here it is told for many, day by day, since changes of one day add up.
"""

import polars as pl

from billing.core.money import EXACT_LIMIT, minor_per_major, product, within
from billing.core.pricing import rate_frame

LEVEL_COLUMNS = ["event_num", "event_den", "event_failure", "amount_detail", "highest"]
PRORATIONS = ("none", "day")


def charged_levels(
    segments: pl.DataFrame, moves: pl.DataFrame, prices: pl.DataFrame, tiers: pl.DataFrame
) -> pl.DataFrame:
    """What levels cost.

    segments: `segment`, `price_id`, `quantity_scale`, `flat_fee_on_zero` if set, `service_start`,
    `service_end`, `reference_days`, `is_prorated` and `is_ahead` (paid in advance). moves: a row a segment
    and day on which its level moved: `segment`, `day` (null for what came before the service), `closing` and
    `peak`, the level at the day's end and the highest after one of its events. prices, tiers: rows of the
    tables. Returns
    one row a segment: `segment`, `event_num` / `event_den` in major units, `event_failure`, `highest` (the
    highest level), and `amount_detail`, from which the amount can be computed again, as a part of JSON.
    """
    by_unit = tiers.with_columns(pl.lit(0, pl.Int64).alias("flat_mantissa"))
    opening = moves.filter(pl.col("day").is_null()).select("segment", pl.col("closing").alias("opening"))
    rows = segments.join(opening, on="segment", how="left", maintain_order="left").with_columns(
        pl.max_horizontal(pl.col("opening").fill_null(0), 0)
    )
    levels = _levels(rows, moves)
    highest = levels.group_by("segment").agg(pl.col("peak").max().alias("highest"))
    rows = rows.join(highest, on="segment", how="left", maintain_order="left")
    units = rate_frame(levels.rename({"level": "quantity_mantissa"}), prices, by_unit).with_columns(
        (pl.col("amount_num") - pl.col("amount_num").shift(1).over("segment").fill_null(0)).alias("_change")
    )
    sums = units.with_columns(product(pl.col("_change"), pl.col("days_left")).alias("_part")).group_by(
        "segment", maintain_order=True
    )
    whole = sums.agg(
        pl.col("_part").sum().alias("_units"),
        (
            (pl.col("_part").null_count() == 0)
            & (pl.col("_part").abs().max() <= EXACT_LIMIT // pl.len().cast(pl.Int128))
        )
        .fill_null(False)
        .alias("_fits"),
        pl.col("failure").drop_nulls().first().alias("_failure"),
        pl.col("amount_den").drop_nulls().first().alias("_den"),
        _changes().alias("_changes"),
    )
    peaks = rows.with_columns(pl.col("highest").alias("quantity_mantissa"))
    in_all, in_units = (rate_frame(peaks, prices, part)["amount_num"] for part in (tiers, by_unit))
    per_major = prices.select("price_id", minor_per_major(pl.col("currency")).alias("_minor_per_major"))
    fees = product(pl.col("_fees"), pl.col("reference_days"))
    found = (
        rows.with_columns((in_all - in_units).alias("_fees"))
        .join(whole, on="segment", how="left", maintain_order="left")
        .join(per_major, on="price_id", how="left", maintain_order="left")
        .with_columns(within(pl.col("_units") + fees, EXACT_LIMIT).alias("_total"))
    )
    out_of_range = ~pl.col("_fits") | pl.col("_total").is_null()
    detail = pl.concat_str(
        pl.lit('"levels": {"days": '),
        pl.col("reference_days").cast(pl.String),
        pl.lit(', "opening": '),
        pl.col("opening").cast(pl.String),
        pl.lit(', "changes": ['),
        pl.col("_changes").fill_null(""),
        pl.lit('], "highest": '),
        pl.col("highest").cast(pl.String),
        pl.lit("}"),
    )
    return found.select(
        "segment",
        (pl.col("_total") // pl.col("_minor_per_major")).alias("event_num"),
        product(pl.col("_den"), pl.col("reference_days")).fill_null(1).alias("event_den"),
        pl.coalesce("_failure", pl.when(out_of_range).then(pl.lit("amount_out_of_range"))).alias(
            "event_failure"
        ),
        detail.alias("amount_detail"),
        "highest",
    )


def _levels(rows: pl.DataFrame, moves: pl.DataFrame) -> pl.DataFrame:
    """The levels of each segment in their order, with the `days_left` they are paid for: the one it opens
    with, then one a day on which it moved."""
    about = ["segment", "price_id", "quantity_scale", "is_prorated", "is_ahead", "reference_days"]
    first = rows.select(
        *about,
        "service_end",
        pl.col("service_start").alias("day"),
        pl.col("opening").alias("level"),
        pl.col("opening").alias("peak"),
        pl.lit(True).alias("is_opening"),
    )
    steps = (
        moves.filter(pl.col("day").is_not_null())
        .join(rows.select(*about, "service_end"), on="segment")
        .filter(pl.col("day") < pl.col("service_end"))
        .with_columns(
            pl.max_horizontal("closing", 0).alias("level"),
            pl.max_horizontal("peak", 0).alias("peak"),
            pl.lit(False).alias("is_opening"),
        )
        .select(first.columns)
    )
    ordered = pl.concat([first, steps]).sort("segment", "day", pl.col("is_opening").not_())
    highest = pl.col("peak").cum_max().over("segment")
    days = (pl.col("service_end") - pl.col("day")).dt.total_days()
    return ordered.with_columns(
        pl.when("is_ahead").then(highest).otherwise("level").alias("level"),
        pl.when("is_prorated").then(days).otherwise("reference_days").alias("days_left"),
    )


def _changes() -> pl.Expr:
    """The levels after the first, each with the day from which on it is paid, as a part of JSON."""
    step = pl.format('["{}", {}]', pl.col("day").cast(pl.String), "quantity_mantissa")
    return step.filter(~pl.col("is_opening")).str.join(", ")
