"""The least that a price brings in a period: what a minimum spend promises, and the days it is due.

A price's minimum holds for a whole reference period and is prorated like a fee where the service is shorter.
What the price is charged in the period, before discounts, counts towards it; the rest is a true-up, worked
out like that of a commitment. A maximum cuts what is rated, so it stands in invoicing.py.
"""

from collections.abc import Mapping

import polars as pl

from billing.core.commitments import NO_PROMISES
from billing.core.invoicing import LINE_KEY, REFERENCE, SERVICE, PolicyKey, with_factor
from billing.core.money import product, wide
from billing.core.policy import Policy

PERIOD = [*LINE_KEY, "price_id", *REFERENCE]


def minimums(parts: pl.DataFrame, policies: Mapping[PolicyKey, Policy]) -> pl.DataFrame:
    """The periods of prices with a minimum spend.

    parts: segments as `segments` gives them. Returns one row a PERIOD, with the columns of its first segment,
    its service from the first to the last day, `due_on` (the period's end, or the service's where the
    subscription ends before), and `promised_num` / `promised_den`, the exact minimum in minor units.
    """
    if parts["minimum_spend_minor"].null_count() == parts.height:
        return NO_PROMISES.with_columns(pl.lit(None, pl.String).alias("price_id"))
    rows = parts.filter(pl.col("minimum_spend_minor").is_not_null(), pl.col("price_id").is_not_null())
    ends = pl.col("ends_on") <= pl.col("reference_end")
    return (
        with_factor(rows, policies)
        .sort(*PERIOD, "service_start")
        .group_by(PERIOD, maintain_order=True)
        .agg(
            pl.all().exclude(*SERVICE, "factor_num", "due_on").first(),
            pl.col("service_start").first(),
            pl.col("service_end").last(),
            pl.min_horizontal(pl.col("factor_num").sum(), pl.col("factor_den").first()).alias("factor_num"),
        )
        .with_columns(
            pl.when(ends.fill_null(False)).then("service_end").otherwise("reference_end").alias("due_on"),
            product(wide(pl.col("minimum_spend_minor")), pl.col("factor_num")).alias("promised_num"),
            wide(pl.col("factor_den")).alias("promised_den"),
            pl.concat_str("component_name", pl.lit(", minimum spend")).alias("component_name"),
            pl.lit(1, pl.Int64).alias("quantity_mantissa"),
            pl.lit(0, pl.Int64).alias("quantity_scale"),
        )
    )
