"""Window commitments: usage priced hour by hour, day by day or month by month of a period, each at least at
what was committed for it, and dearer beyond it.

A window costs c + greatest(cost - c, 0) x factor; without a true-up its cost as long as that is below c
(pricing.window_charge). Windows are counted from the start of the service; each that the service begins
counts whole, also one that nothing was used in. One below 0 costs as one of 0, for what corrects an hour may
lie in another; only all of them together must not be below 0. So a segment's amount is a sum over its
windows, exact.
"""

import polars as pl

from billing.core.calendar import add_months
from billing.core.money import EXACT_LIMIT, PPM, Number, minor_per_major, power_of_ten, product, wide, within
from billing.core.pricing import rate_frame, window_charge

WINDOWS = ("hour", "day", "month")
WINDOW_COLUMNS = ["event_num", "event_den", "event_failure", "amount_detail"]


def months_of(spans: pl.DataFrame) -> pl.DataFrame:
    """The months of each service: `service_start`, `service_end`, `month` (from 0), `month_start`."""
    rows = []
    for start, end in spans.select("service_start", "service_end").unique().iter_rows():
        number, begins = 0, start
        while begins < end:
            rows.append((start, end, number, begins))
            number += 1
            begins = add_months(start, number)
    return pl.DataFrame(
        rows,
        schema={
            "service_start": pl.Date,
            "service_end": pl.Date,
            "month": pl.Int64,
            "month_start": pl.Date,
        },
        orient="row",
    )


def charged_windows(
    segments: pl.DataFrame, used: pl.DataFrame, prices: pl.DataFrame, tiers: pl.DataFrame
) -> pl.DataFrame:
    """What segments of usage cost by their windows.

    segments: `segment`, `price_id`, `quantity_scale`, `flat_fee_on_zero` if set, and `window_count`, the
    windows of the service. used: a row a window that something was used in: `segment`, `quantity_mantissa`,
    `is_inside` (false for the day beyond the service that counts to it). prices, tiers: rows of the tables.
    Returns one row a segment: `segment`, `event_num` / `event_den` in major units, `event_failure`, and
    `amount_detail`, the quantities with how many windows had each, as a part of JSON: enough to compute the
    amount again.
    """
    sums = used.group_by("segment").agg((wide(pl.col("quantity_mantissa")).sum() < 0).alias("_is_below_zero"))
    used = used.filter(pl.col("is_inside") | (pl.col("quantity_mantissa") >= 0))
    counted = used.group_by("segment", "quantity_mantissa").agg(
        pl.len().cast(pl.Int64).alias("times"), pl.col("is_inside").sum().cast(pl.Int64).alias("_inside")
    )
    empty = (
        segments.join(counted.group_by("segment").agg(pl.col("_inside").sum()), on="segment", how="left")
        .select(
            "segment",
            pl.lit(0, pl.Int64).alias("quantity_mantissa"),
            (pl.col("window_count") - pl.col("_inside").fill_null(0)).alias("times"),
        )
        .filter(pl.col("times") > 0)
    )
    quantities = (
        pl.concat([empty, counted.select(empty.columns)])
        .group_by("segment", "quantity_mantissa")
        .agg(pl.col("times").sum())
        .join(segments.drop("window_count"), on="segment")
        .sort("segment", "quantity_mantissa")
    )
    terms = prices.select(
        "price_id",
        "overage_factor_ppm",
        wide(pl.col("window_commitment_mantissa")).alias("_commitment"),
        power_of_ten(pl.col("price_scale")).alias("_price_den"),
        pl.col("window_true_up").cast(pl.Int128).alias("_trues_up"),
        minor_per_major(pl.col("currency")).alias("_minor_per_major"),
    )
    quantity_den = power_of_ten(pl.col("quantity_scale"))
    rated = (
        rate_frame(quantities.with_columns(pl.col("quantity_mantissa").clip(0)), prices, tiers)
        .with_columns(quantities["quantity_mantissa"].alias("_quantity"))
        .join(terms, on="price_id", how="left", maintain_order="left")
        .with_columns(
            (pl.col("amount_num") // pl.col("_minor_per_major")).alias("_cost"),
            product(pl.col("_commitment"), quantity_den).alias("_commitment"),
        )
    )
    charge = window_charge(
        pl.col("_cost"),
        pl.col("_commitment"),
        wide(pl.col("overage_factor_ppm")),
        PPM,
        pl.col("_trues_up"),
    )
    rated = rated.with_columns(_column(charge).alias("_charge"))
    rated = rated.with_columns(product(pl.col("_charge"), pl.col("times")).alias("_charges"))
    text = pl.format("[{}, {}]", "_quantity", "times").str.join(", ")
    charges = rated.group_by("segment", maintain_order=True).agg(
        (pl.col("_charges").max() <= EXACT_LIMIT // pl.len().cast(pl.Int128)).alias("_fits"),
        pl.col("_charges").null_count().alias("_missing"),
        pl.col("_charges").sum().alias("event_num"),
        (quantity_den.first() * pl.col("_price_den").first() * PPM).alias("event_den"),
        pl.col("failure").drop_nulls().first().alias("_failure"),
        pl.format('"windows": [{}]', text.first()).first().alias("amount_detail"),
    )
    out_of_range = (pl.col("_missing") > 0) | ~pl.col("_fits").fill_null(False)
    found = charges.join(sums, on="segment", how="left", maintain_order="left")
    return found.select(
        "segment",
        within(pl.col("event_num"), EXACT_LIMIT).alias("event_num"),
        "event_den",
        pl.coalesce(
            pl.when("_is_below_zero").then(pl.lit("negative_quantity")),
            "_failure",
            pl.when(out_of_range).then(pl.lit("amount_out_of_range")),
        ).alias("event_failure"),
        "amount_detail",
    )


def _column(value: Number) -> pl.Expr:
    assert isinstance(value, pl.Expr)
    return value
