"""What is given back of time that was paid in advance, when its item ends.

The act's own word decides, else the policy's [`on_cancel`]: the time beyond the end is credited, given back
as money, or kept. Of what was still unpaid when an end for lack of payment came nothing is credited (paid
later, it stays so). Fees and seats are compared by time, levels paid in advance (core.levels) by amount.
"""

from collections.abc import Mapping
from datetime import date

import polars as pl

from billing.core.invoicing import LINE_KEY, PolicyKey, by_policy
from billing.core.policy import Policy

END_FACTS = ["line_id", "ends_on", "cancel_reason", "on_cancel", "paid_on", "policy_name", "policy_version"]


def _keeps(settings: Policy) -> pl.Expr:
    """Whether nothing is given back of a line's time beyond the end; rows have END_FACTS."""
    was_paid = (pl.col("paid_on") <= pl.col("ends_on")).fill_null(False)
    is_unpaid = (pl.col("cancel_reason") == "payment") & ~was_paid
    return ((_money(settings) == "none") | is_unpaid).fill_null(False)


def _money(settings: Policy) -> pl.Expr:
    return pl.coalesce("on_cancel", pl.lit(settings.on_cancel))


def creditable(
    to_credit: pl.DataFrame, origin: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Time to credit without what is kept, and with `is_refunded`: what was paid for it is to be given back
    as money. Started periods are charged whole under day_count none.

    to_credit: `line_id`, SERVICE. origin: those lines, with END_FACTS.
    """
    is_after_end = (pl.col("service_start") >= pl.col("ends_on")).fill_null(False)

    def given_back(part: pl.DataFrame, one: Policy) -> pl.DataFrame:
        is_kept = is_after_end & _keeps(one)
        return part.filter(~is_kept & pl.lit(one.day_count != "none")).with_columns(
            (is_after_end & (_money(one) == "refund")).alias("is_refunded")
        )

    rows = to_credit.join(origin.select(END_FACTS), on="line_id", maintain_order="left")
    return by_policy(rows, policies, given_back).select(*to_credit.columns, "is_refunded")


def creditable_usage(
    to_take: pl.DataFrame, origin: pl.DataFrame, policies: Mapping[PolicyKey, Policy]
) -> pl.DataFrame:
    """Usage to take back without levels paid in advance for a time after the end that is kept, and with
    `is_refunded` for those that reach beyond it.

    to_take: `line_id`, SERVICE, `take_minor`. origin: those lines, with END_FACTS and `is_ahead`.
    """
    ahead = origin.filter("is_ahead")
    if ahead.is_empty():
        return to_take.with_columns(pl.lit(False).alias("is_refunded"))
    is_after_end = (pl.col("service_start") >= pl.col("ends_on")).fill_null(False)
    reaches_beyond = (pl.col("service_end") > pl.col("ends_on")).fill_null(False)

    def given_back(part: pl.DataFrame, one: Policy) -> pl.DataFrame:
        return part.filter(~(is_after_end & _keeps(one))).with_columns(
            (reaches_beyond & (_money(one) == "refund")).alias("is_refunded")
        )

    rows = to_take.join(ahead.select(END_FACTS), on="line_id", maintain_order="left")
    others = to_take.join(ahead, on="line_id", how="anti").with_columns(pl.lit(False).alias("is_refunded"))
    return pl.concat([others, by_policy(rows, policies, given_back).select(others.columns)])


def cut_levels(uses: pl.DataFrame) -> pl.DataFrame:
    """The segments of levels paid in advance that end with their item inside the period they are paid for."""
    return uses.filter(
        pl.col("is_ahead").fill_null(False), "ends_here", pl.col("service_end") < pl.col("reference_end")
    )


def with_levels_as_billed(
    uses: pl.DataFrame, billed: pl.DataFrame, policies: Mapping[PolicyKey, Policy], up_to: date
) -> pl.DataFrame:
    """Usage segments that were billed in advance beyond an end under the service that was billed, so that
    they are compared with it. Adds `paid_until`, the day up to which their level costs money: the end, or
    where nothing is given back, and before the end has come, all that was billed.

    billed: lines of `cut_levels` to the end of their reference period, with LINE_KEY, SERVICE, END_FACTS.
    """

    def kept(part: pl.DataFrame, one: Policy) -> pl.DataFrame:
        return part.with_columns(_keeps(one).alias("_is_kept"))

    key = [*LINE_KEY, "service_start"]
    lines = by_policy(billed, policies, kept).group_by(*key, pl.col("service_end").alias("_billed_until"))
    is_ahead_of_end = _end_day(uses) > up_to
    return (
        uses.join(lines.agg(pl.col("_is_kept").any()), on=key, how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("_is_kept") | is_ahead_of_end)
            .then("_billed_until")
            .otherwise("service_end")
            .alias("paid_until"),
            pl.coalesce("_billed_until", "service_end").alias("service_end"),
        )
        .with_columns(pl.coalesce("paid_until", "service_end").alias("paid_until"))
        .drop("_is_kept", "_billed_until")
    )


def end_days(parts: pl.DataFrame, up_to: date) -> pl.DataFrame:
    """The days after `up_to` on which levels paid in advance end: customer_id, next_bill_on."""
    day = _end_day(parts)
    return cut_levels(parts).filter(day > up_to).select("customer_id", day.alias("next_bill_on"))


def _end_day(uses: pl.DataFrame) -> pl.Expr:
    """The day on which the end of a segment acts."""
    return pl.col("closes_on" if "closes_on" in uses.columns else "service_end")
