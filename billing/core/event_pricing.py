"""Prices of single events in columns: what the events of a period cost, and what of them is free.

A percentage price looks at each event in its order, because a free part is used up by those before it; a
dynamic price takes the amount an event brings. Both end as one exact amount a segment of usage. Which events
count, and on which line their amount stands, is decided elsewhere.
"""

import polars as pl

from billing.core.money import EXACT_LIMIT, PRICE_LIMIT, QUANTITY_LIMIT, Number, power_of_ten, wide, within
from billing.core.pricing import UNBOUNDED, PercentageTerms, charge_of_event, free_part_of_event

TERMS_OF_EVENTS = [
    "price_id",
    "model",
    "price_mantissa",
    "price_scale",
    "fee_mantissa",
    "free_events",
    "free_amount_mantissa",
    "min_per_event_mantissa",
    "max_per_event_mantissa",
]


def rate_events_of_frame(events: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """The exact amounts of many segments of usage.

    events: one row an event, in the order in which they count, with `segment`, `period` (whose free part they
    use up), `price_id`, `value_mantissa` at `value_scale` in major units, and `percentage_free`. prices: rows
    of the table `prices`. Returns one row a segment: `segment`, `event_num` / `event_den` in major units, and
    `event_failure`, null or a code (`negative_quantity`, `amount_out_of_range`).
    """
    rows = events.join(
        prices.select(TERMS_OF_EVENTS), on="price_id", how="left", maintain_order="left"
    ).with_columns(pl.max_horizontal("value_scale", "price_scale").alias("_scale"))

    def to_money(column: str) -> pl.Expr:
        factor = power_of_ten(pl.col("_scale") - pl.col("price_scale"))
        return within(wide(pl.col(column)), PRICE_LIMIT) * factor

    is_dynamic = pl.col("model") == "dynamic"
    ends_first = pl.col("percentage_free") == "first_limit"
    absent = pl.when(ends_first).then(pl.lit(UNBOUNDED, pl.Int128)).otherwise(pl.lit(0, pl.Int128))
    has_events, has_amount = (
        (pl.col(name) > 0).fill_null(False) for name in ("free_events", "free_amount_mantissa")
    )
    rate_den = power_of_ten(pl.col("price_scale"))
    value_factor = power_of_ten(pl.col("_scale") - pl.col("value_scale"))
    rows = rows.with_columns(
        (within(wide(pl.col("value_mantissa")), QUANTITY_LIMIT) * value_factor).alias("_value"),
        pl.int_range(1, pl.len() + 1).over("period").cast(pl.Int128).alias("_place"),
        pl.when(is_dynamic)
        .then(1)
        .otherwise(within(wide(pl.col("price_mantissa")), PRICE_LIMIT))
        .alias("_rate"),
        rate_den.alias("_rate_den"),
        to_money("fee_mantissa").fill_null(0).alias("_fee"),
        pl.when(has_events).then(wide(pl.col("free_events"))).otherwise(absent).alias("_free_events"),
        pl.when(has_amount).then(to_money("free_amount_mantissa")).otherwise(absent).alias("_free_amount"),
        to_money("min_per_event_mantissa").fill_null(0).alias("_least"),
        pl.when(pl.col("max_per_event_mantissa").is_null())
        .then(EXACT_LIMIT // rate_den)
        .otherwise(to_money("max_per_event_mantissa"))
        .alias("_most"),
        (has_events | has_amount).cast(pl.Int128).alias("_has_free_part"),
        ends_first.cast(pl.Int128).alias("_ends_first"),
    ).with_columns((pl.col("_value").cum_sum().over("period") - pl.col("_value")).alias("_before"))
    terms = PercentageTerms(*(pl.col(f"_{name}") for name in PercentageTerms._fields))
    free = free_part_of_event(pl.col("_value"), pl.col("_place"), pl.col("_before"), terms)
    rows = rows.with_columns(_column(free.amount, "_free"), _column(free.may_be_whole, "_may_be_free"))
    charge = charge_of_event(pl.col("_value") - pl.col("_free"), pl.col("_may_be_free"), terms)
    return (
        rows.with_columns(_column(charge.amount, "_amount"))
        .group_by("segment", maintain_order=True)
        .agg(
            (pl.col("_amount").max() <= EXACT_LIMIT // pl.len().cast(pl.Int128)).alias("_fits"),
            pl.col("_amount").null_count().alias("_missing"),
            pl.col("_amount").sum().alias("event_num"),
            (power_of_ten(pl.col("_scale").first()) * pl.col("_rate_den").first()).alias("event_den"),
            (pl.col("value_mantissa") < 0).any().alias("_is_negative"),
        )
        .select(
            "segment",
            "event_num",
            "event_den",
            pl.when("_is_negative")
            .then(pl.lit("negative_quantity"))
            .when((pl.col("_missing") > 0) | ~pl.col("_fits"))
            .then(pl.lit("amount_out_of_range"))
            .alias("event_failure"),
        )
    )


def _column(value: Number, name: str) -> pl.Expr:
    assert isinstance(value, pl.Expr)
    return value.alias(name)
