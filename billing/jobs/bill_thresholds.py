"""Usage billed early in a bill run: reads the thresholds of plans, what usage came to so far, and what was
billed of it. The rules stand in core/thresholds.py; without plans that have thresholds nothing here is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from sqlalchemy import String, cast, literal, select

from billing.core import thresholds
from billing.core.invoicing import PolicyKey, beyond_billed
from billing.core.policy import Policy
from billing.core.thresholds import KEY
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.bill_lines import LINE_SCHEMA, shaped
from billing.store.store import Store
from billing.store.tables import line_items, plan_thresholds

_THRESHOLDS = select(
    (plan_thresholds.c.plan_id + literal("|") + cast(plan_thresholds.c.plan_version, String)).label(
        "thresholds_of"
    ),
    plan_thresholds.c.currency,
    plan_thresholds.c.amount_minor.label("threshold_minor"),
)
_QUANTITIES = select(line_items.c.line_id, line_items.c.quantity_mantissa)

EARLY_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "component_id": pl.String(),
        "service_start": pl.Date(),
        "service_end": pl.Date(),
        "quantity_mantissa": pl.Int64(),
        "gross_minor": pl.Int64(),
        "net_minor": pl.Int64(),
        "document_discount_minor": pl.Int64(),
    }
)
"""What was billed of usage before its end, as far as nothing took it back."""


def read_early(
    store: Store, charged: pl.DataFrame, credited: pl.DataFrame, snapshots: pl.DataFrame
) -> pl.DataFrame:
    """What was billed early of usage that was not billed at its end yet, as EARLY_SCHEMA."""
    left = thresholds.left_of_early(charged, credited, snapshots)
    if left.is_empty():
        return pl.DataFrame(schema=EARLY_SCHEMA)
    quantities = read_by_ids(store, _QUANTITIES, line_items.c.line_id, left["line_id"].to_list())
    sums = left.join(quantities, on="line_id").group_by(KEY, maintain_order=True)
    return sums.agg(pl.col(list(EARLY_SCHEMA)[len(KEY) :]).sum()).select(list(EARLY_SCHEMA))


def beyond_thresholds(
    store: Store, amounts: pl.DataFrame, sums: pl.DataFrame, parts: pl.DataFrame
) -> pl.DataFrame:
    """What is due early of running usage, in the form of `beyond_billed`. amounts: as `running` cut them."""
    so_far = amounts.with_columns(
        pl.col("whole_end").alias("service_end"), pl.lit(thresholds.INVOICE).alias("invoice_kind")
    ).drop("whole_end")
    now = thresholds.reached(so_far, sums, parts, store.frame(_THRESHOLDS))
    return beyond_billed(now, sums).filter(pl.col("net_minor") > 0)


def shown_whole(
    early: pl.DataFrame, amounts: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Of usage that was billed early that which is shown whole at its end [`progressive_display`]."""
    gross = [key for key, one in policies.items() if one.progressive_display == "gross"]
    of_gross = pl.DataFrame(
        gross, schema={"policy_name": pl.String, "policy_version": pl.Int64}, orient="row"
    )
    shown = amounts.join(of_gross, on=["policy_name", "policy_version"], how="semi")
    return early.join(shown, on=KEY, how="semi", maintain_order="left")


def already_lines(rows: pl.DataFrame, early: pl.DataFrame) -> pl.DataFrame:
    """Lines of what was billed already of usage whose rest is billed now. rows: the rest, priced."""
    names = ["quantity_mantissa", "gross_minor", "net_minor", "document_discount_minor"]
    told = rows.drop(names, strict=False).join(early, on=KEY, maintain_order="left")
    return shaped(
        told.with_columns(
            pl.lit("usage").alias("kind"),
            pl.lit("credit").alias("entry"),
            pl.col("bill_to").alias("payer_id"),
            *(pl.lit(1, pl.Int64).alias(name) for name in ("factor_num", "factor_den")),
            *(-pl.col(name) for name in names[1:]),
            (pl.col("net_minor") - pl.col("gross_minor")).alias("discount_minor"),
            pl.lit(None, pl.Int64).alias("tax_minor"),
            pl.concat_str("plan_name", pl.lit(", "), "component_name", pl.lit(", already billed")).alias(
                "description"
            ),
            pl.lit(None, pl.String).alias("explanation"),
            pl.col("due_on").alias("issue_on"),
            pl.lit(True).alias("is_already_billed"),
        ),
        LINE_SCHEMA,
    )
