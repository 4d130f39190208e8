"""Charges that come once: what somebody adds to an item by hand, owed on one day and compared by amount."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from billing.core.commitments import NO_PROMISES
from billing.core.invoicing import PolicyVersion, with_policy

KIND = "one_time"


def one_time(charges: pl.DataFrame, terms: pl.DataFrame, versions: Sequence[PolicyVersion]) -> pl.DataFrame:
    """What charges owe, one row each, with component `charge_id` and the day as service and reference.

    charges: `charge_id`, `item_id`, `charged_on`, `description`, `amount_minor`, none of them before their
    customer's floor. terms: as `stretches` takes them; the version of the day says who pays and what tax
    the plan's product bears (before the first the first, after the last the last).
    """
    if charges.is_empty():
        return NO_PROMISES.with_columns(
            *(pl.lit(None, pl.Int64).alias(name) for name in ("gross_minor", "net_minor"))
        )
    of_item = terms.sort("item_id", "effective_start", "position").unique(
        ["item_id", "effective_start"], keep="first", maintain_order=True
    )
    is_begun = pl.col("effective_start") <= pl.col("charged_on")
    rows = (
        charges.join(of_item.drop("component_id"), on="item_id", maintain_order="left")
        .sort(
            "charge_id",
            ~is_begun,
            pl.col("effective_start").to_physical() * pl.when(is_begun).then(-1).otherwise(1),
        )
        .unique("charge_id", keep="first", maintain_order=True)
    )
    following = pl.col("charged_on") + timedelta(days=1)
    zero = pl.lit(0, pl.Int64)
    return with_policy(
        rows.with_columns(
            pl.col("charge_id").alias("component_id"),
            *(pl.col("charged_on").alias(name) for name in ("service_start", "reference_start", "due_on")),
            *(following.alias(name) for name in ("service_end", "reference_end")),
            pl.format("charge {}", "charge_id").alias("terms_id"),
            pl.lit(1, pl.Int64).alias("quantity_mantissa"),
            zero.alias("quantity_scale"),
            pl.col("amount_minor").alias("gross_minor"),
            zero.alias("discount_minor"),
            pl.col("amount_minor").alias("net_minor"),
            pl.lit(None, pl.String).alias("failure"),
        ),
        versions,
    )
