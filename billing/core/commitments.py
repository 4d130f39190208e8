"""What a customer guarantees to spend: for each item and period, what is missing to the commitment.

A version of an item promises, for one whole interval, its recurring amount and beyond it the committed
minimum. What the item is charged for the period (fees, seats, usage, before discounts) counts towards the
promise; the rest is billed at the period's end as a true-up. It is compared by amount, so usage that arrives
late lowers a true-up that was billed.

Which fees and usage are owed is found by invoicing.py; how a true-up is rounded stands in adjustments.py.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import cast

import polars as pl

from billing.core.adjustments import commitment_true_up
from billing.core.cuts import FOREVER
from billing.core.invoicing import (
    REFERENCE,
    SERVICE,
    SERVICE_KEY,
    PolicyKey,
    PolicyVersion,
    by_policy,
    service_and_parts,
    with_factor,
)
from billing.core.money import LINE_LIMIT, RoundingMode, product, wide, within
from billing.core.policy import Policy

COMPONENT = "commitment"
"""The component of a true-up's line: a commitment belongs to an item as a whole."""
PERIOD = ["item_id", *REFERENCE]


NO_PROMISES = pl.DataFrame(
    schema={
        "customer_id": pl.String,
        "item_id": pl.String,
        "component_id": pl.String,
        **dict.fromkeys((*REFERENCE, *SERVICE, "due_on"), pl.Date),
    }
)


def promises(terms: pl.DataFrame, versions: Sequence[PolicyVersion], up_to: date) -> pl.DataFrame:
    """The periods in which items have a commitment, up to the one that holds a day.

    terms: as `stretches` takes them, with `recurring_minor` and `committed_minimum_minor`. Returns one row an
    item and reference period, as `segments` gives them with component COMPONENT, their service from the first
    to the last day that is promised for, and `due_on`: the period's end, or the item's. `promised_num` /
    `promised_den` is the exact promise in minor units, for the days of service.
    """
    is_promised = (pl.col("committed_minimum_minor") > 0).any().over("item_id")
    rows = terms.filter(is_promised)
    if rows.is_empty():
        return NO_PROMISES
    ends = pl.min_horizontal("effective_end", "ends_on").fill_null(FOREVER)
    whole = (
        rows.unique(["item_id", "effective_start"], keep="first", maintain_order=True)
        .filter(pl.col("effective_start") < ends)
        .with_columns(
            pl.lit(COMPONENT).alias("component_id"),
            pl.lit(COMPONENT).alias("component_name"),
            pl.lit("fee").alias("kind"),
            pl.format("{}+{}", "recurring_minor", "committed_minimum_minor").alias("price_id"),
            pl.lit(False).alias("in_advance"),
            ends.max().over("item_id").alias("item_ends_on"),
        )
    )
    _, parts = service_and_parts(whole, versions, up_to)
    policies = {(one.name, one.version): one.settings for one in versions}
    of_terms = (
        with_factor(parts, policies)
        .sort(*PERIOD, "service_start")
        .group_by(*PERIOD, "agreed", maintain_order=True)
        .agg(
            pl.all().exclude("service_end", "factor_num").first(),
            pl.col("service_end").last(),
            pl.min_horizontal(pl.col("factor_num").sum(), pl.col("factor_den").first()).alias("factor_num"),
        )
        .with_columns(
            product(
                pl.col("recurring_minor") + pl.col("committed_minimum_minor"), pl.col("factor_num")
            ).alias("promised_num")
        )
    )
    return (
        of_terms.group_by(PERIOD, maintain_order=True)
        .agg(
            pl.all()
            .exclude("service_start", "service_end", "promised_num", "committed_minimum_minor")
            .first(),
            pl.col("service_start").min(),
            pl.col("service_end").max(),
            pl.col("promised_num").sum(),
            pl.col("committed_minimum_minor").max(),
        )
        .filter(pl.col("committed_minimum_minor") > 0)
        .with_columns(
            pl.min_horizontal("reference_end", "item_ends_on").alias("due_on"),
            pl.col("factor_den").cast(pl.Int128).alias("promised_den"),
        )
    )


def covered_fees(fees: pl.DataFrame, period: Sequence[str] = PERIOD) -> pl.DataFrame:
    """What fees and seats cover. fees: segments as `charges` prices them, none of them billed before."""
    return fees.select(
        *period,
        "gross_minor",
        product(pl.col("amount_num"), pl.col("factor_num")).alias("num"),
        product(pl.col("amount_den"), pl.col("factor_den")).alias("den"),
    )


def covered_usage(uses: pl.DataFrame, period: Sequence[str] = PERIOD) -> pl.DataFrame:
    """What usage covers. uses: segments as `usage_amounts` prices them."""
    return uses.select(
        *period, "gross_minor", pl.col("amount_num").alias("num"), pl.col("amount_den").alias("den")
    )


def covered_as_billed(sums: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """What usage covers as it was billed, where more of it waits for a later invoice.

    sums: as `billed_amounts` gives them. parts: the usage segments they belong to.
    """
    return sums.join(parts.select(*SERVICE_KEY, *REFERENCE), on=SERVICE_KEY).select(
        *PERIOD, "gross_minor", wide(pl.col("gross_minor")).alias("num"), pl.lit(1, pl.Int128).alias("den")
    )


def comparable(
    promised: pl.DataFrame, as_billed: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """The promises without those that wait with their usage: where a true-up is the difference of exact
    amounts [`true_up_rounding`], what was posted of usage that waits does not tell it.

    as_billed: as `covered_as_billed` gives it.
    """
    exact = [key for key, one in policies.items() if one.true_up_rounding == "posted_difference"]
    if not exact or as_billed.is_empty():
        return promised
    named = pl.DataFrame(exact, schema=["policy_name", "policy_version"], orient="row")
    waiting = promised.join(named, on=named.columns, how="semi").join(as_billed, on=PERIOD, how="semi")
    return promised.join(waiting, on=PERIOD, how="anti", maintain_order="left")


def covered_by_true_ups(missing: pl.DataFrame) -> pl.DataFrame:
    """What the true-ups of an item's prices cover."""
    return missing.select(
        *PERIOD, "gross_minor", wide(pl.col("gross_minor")).alias("num"), pl.lit(1, pl.Int128).alias("den")
    )


def true_ups(
    promised: pl.DataFrame,
    covered: pl.DataFrame,
    policies: Mapping[PolicyKey, Policy],
    period: Sequence[str] = PERIOD,
) -> pl.DataFrame:
    """What is missing to each promise, never below 0 [`true_up_rounding`].

    period: the columns that name a promise. covered: what counts towards it, one row a posted amount: the
    period, `gross_minor`, and the exact `num` and `den` it was posted from. Adds `covered_minor`,
    `gross_minor`, `discount_minor`, `net_minor`, null where an amount leaves the bounds, and `failure`.
    """
    posted = covered.group_by(period).agg(pl.col("gross_minor").sum().alias("covered_minor"))
    rows = promised.join(posted, on=period, how="left", maintain_order="left").with_columns(
        pl.col("covered_minor").fill_null(0)
    )

    def with_missing(part: pl.DataFrame, settings: Policy) -> pl.DataFrame:
        is_exact = settings.true_up_rounding == "posted_difference"
        part = _with_exact_sums(part, covered, period) if is_exact else _with_posted_sums(part)
        missing = commitment_true_up(
            pl.col("_promised"),
            pl.col("_covered"),
            pl.col("_den"),
            rounding=settings.true_up_rounding,
            mode=cast(RoundingMode, settings.rounding),
        )
        return (
            part.with_columns(missing.alias("net_minor"))
            .with_columns(within(pl.col("net_minor"), LINE_LIMIT).cast(pl.Int64))
            .drop("_promised", "_covered", "_den")
        )

    return by_policy(rows, policies, with_missing).with_columns(
        pl.col("net_minor").alias("gross_minor"),
        pl.lit(0, dtype=pl.Int64).alias("discount_minor"),
        pl.lit(None, dtype=pl.String).alias("failure"),
    )


def _with_posted_sums(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        pl.col("promised_num").alias("_promised"),
        product(wide(pl.col("covered_minor")), pl.col("promised_den")).alias("_covered"),
        pl.col("promised_den").alias("_den"),
    )


def _with_exact_sums(rows: pl.DataFrame, covered: pl.DataFrame, period: Sequence[str]) -> pl.DataFrame:
    """Promise and exact sum in parts of the finest denominator of a period; null where another does not
    divide it, which no scale of price and meter brings about."""
    times = pl.when(pl.col("den") % pl.col("promised_den") != 0).then("promised_den").otherwise(1)
    parts = covered.join(rows.select(*period, "promised_den"), on=period).with_columns(
        product(pl.col("num"), times), product(pl.col("den"), times)
    )
    finest = parts.group_by(period).agg(pl.col("den").max().alias("_den"))

    def at_finest(num: str, den: str) -> pl.Expr:
        times = pl.when(pl.col("_den") % pl.col(den) == 0).then(pl.col("_den") // pl.col(den))
        return product(pl.col(num), times)

    sums = (
        parts.join(finest, on=period)
        .with_columns(at_finest("num", "den").alias("_covered"))
        .group_by(period)
        .agg(pl.when(pl.col("_covered").is_not_null().all()).then(pl.col("_covered").sum()))
    )
    nothing = pl.col("_den").is_null()
    return (
        rows.join(finest, on=period, how="left", maintain_order="left")
        .join(sums, on=period, how="left", maintain_order="left")
        .with_columns(
            pl.when(nothing).then(pl.lit(0, pl.Int128)).otherwise("_covered").alias("_covered"),
            pl.coalesce("_den", "promised_den").alias("_den"),
        )
        .with_columns(at_finest("promised_num", "promised_den").alias("_promised"))
    )
