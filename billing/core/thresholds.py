"""Usage that is billed before its period ends, because it reached an amount (a threshold of its plan).

A threshold acts when what was billed of the period's usage lies below it and what the usage costs so far does
not. Then all usage so far, less what was billed, is billed on an invoice of its own. At the period's end the
usage is compared like any other: what is owed less what was billed. An invoice may show that as it is, or as
the whole amount and a line of what was billed already [`progressive_display`], which takes back a part of the
line of the whole. So what is left of each line is what it really billed.
"""

from datetime import date

import polars as pl

from billing.core.cuts import A_DAY

KEY = ["item_id", "component_id", "service_start", "service_end"]
PERIOD = ["item_id", "reference_start"]
INVOICE = "threshold"
"""The kind of an invoice of usage billed early."""


def running(parts: pl.DataFrame, up_to: date, pooled: pl.DataFrame) -> pl.DataFrame:
    """The usage segments that run on a day and may be billed early, as far as they have come: with
    `service_end` the day after it, and `whole_end` what it was.

    Not those that are paid ahead or by the day, priced by windows, or by a pool (`customer_id`,
    `component_id`): what they cost is known at their end alone.
    """
    rows = parts.filter(
        "is_usage",
        pl.col("thresholds_of").is_not_null(),
        pl.col("service_start") <= up_to,
        pl.col("due_on") > up_to,
        ~pl.col("is_ahead").fill_null(False),
        pl.col("prorate").fill_null("none") == "none",
        pl.col("window_unit").is_null(),
    )
    if pooled.height:
        rows = rows.join(pooled, on=["customer_id", "component_id"], how="anti", maintain_order="left")
    return rows.with_columns(
        pl.col("service_end").alias("whole_end"),
        pl.min_horizontal("service_end", pl.lit(up_to + A_DAY)).alias("service_end"),
        pl.lit(False).alias("ends_here"),
        pl.lit(up_to).alias("due_on"),
    )


def reached(
    amounts: pl.DataFrame, sums: pl.DataFrame, parts: pl.DataFrame, thresholds: pl.DataFrame
) -> pl.DataFrame:
    """The segments whose period reached a threshold.

    amounts: running segments with what they cost so far (`net_minor`). sums: what was billed per KEY. parts:
    all usage segments, of which others of the period may have been billed. thresholds: `thresholds_of`,
    `currency`, `threshold_minor`.
    """
    sound = amounts.filter(pl.col("failure").is_null(), pl.col("net_minor").is_not_null())
    billed = sums.select(*KEY, pl.col("net_minor").alias("_billed"))
    others = (
        parts.select(*KEY, "reference_start")
        .join(sound, on=KEY, how="anti")
        .join(billed, on=KEY)
        .group_by(PERIOD)
        .agg(pl.col("_billed").sum().alias("_others"))
    )
    periods = (
        sound.join(billed, on=KEY, how="left", maintain_order="left")
        .sort("service_start", maintain_order=True)
        .group_by(PERIOD, maintain_order=True)
        .agg(
            pl.col("net_minor").sum().alias("_rated"),
            pl.col("_billed").sum(),
            pl.col("thresholds_of", "currency").last(),
        )
        .join(others, on=PERIOD, how="left", maintain_order="left")
        .join(thresholds, on=["thresholds_of", "currency"])
    )
    before = pl.col("_others").fill_null(0)
    acts = (pl.col("_billed") + before < pl.col("threshold_minor")) & (
        pl.col("threshold_minor") <= pl.col("_rated") + before
    )
    return sound.join(periods.filter(acts), on=PERIOD, how="semi", maintain_order="left")


def billed_early(charged: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """The KEY of usage of which something was billed and its quantity never: all of it was billed early.

    charged: posted usage charges. snapshots: the quantities of usage that was billed at its end.
    """
    return charged.select(KEY).unique().join(snapshots, on=KEY, how="anti")


def with_cut_periods(charged: pl.DataFrame, parts: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """Usage charges, those that were billed early with the service that begins as theirs did: where a change
    or an end cut it since, it is the same usage all the same."""
    begins = KEY[:3]
    cut = (
        billed_early(charged, snapshots)
        .join(parts, on=KEY, how="anti")
        .join(parts.select(*begins, pl.col("service_end").alias("_end")).unique(begins), on=begins)
    )
    if cut.is_empty():
        return charged
    return (
        charged.join(cut, on=KEY, how="left", maintain_order="left")
        .with_columns(pl.coalesce("_end", "service_end").alias("service_end"))
        .drop("_end")
    )


_AMOUNTS = ["gross_minor", "net_minor", "document_discount_minor"]


def left_of_early(charged: pl.DataFrame, credited: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """The charges of usage that was billed early and not at its end yet, with what credits left of them:
    KEY, `line_id`, `gross_minor`, `net_minor`, `document_discount_minor`."""
    back = credited.group_by("line_id").agg(pl.col(_AMOUNTS).sum())
    return (
        charged.join(billed_early(charged, snapshots), on=KEY, how="semi", maintain_order="left")
        .join(back, on="line_id", how="left", maintain_order="left", suffix="_back")
        .select(*KEY, "line_id", *(pl.col(name) - pl.col(f"{name}_back").fill_null(0) for name in _AMOUNTS))
        .filter(pl.col("net_minor") > 0)
    )


# What an invoice shows.


def shown_whole(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines of a draft in which usage that was billed early stands whole, beside the line of what was billed
    already (`is_already_billed`). Adds `new_discount_minor`: the discount of the item before that.

    The sums of the documents stay: what one line is more the other takes back.
    """
    own = (pl.col("discount_minor") - pl.col("document_discount_minor")).alias("new_discount_minor")
    lines = lines.with_columns(own)
    already = lines.filter("is_already_billed")
    if already.is_empty():
        return lines
    names = ["gross_minor", "discount_minor", "document_discount_minor", "net_minor", "tax_minor"]
    key = ["document", "kind", *KEY]
    back = already.select(*key, *names, "quantity_mantissa", pl.lit("charge").alias("entry"))
    return (
        lines.join(back, on=[*key, "entry"], how="left", maintain_order="left", suffix="_already")
        .with_columns(
            *(pl.col(name) - pl.col(f"{name}_already").fill_null(0) for name in names),
            pl.col("quantity_mantissa") + pl.col("quantity_mantissa_already").fill_null(0),
        )
        .drop(f"{name}_already" for name in (*names, "quantity_mantissa"))
    )


def with_reversed(lines: pl.DataFrame) -> pl.DataFrame:
    """New lines with their ids: what was billed already takes back a part of the line of the whole."""
    is_already = pl.col("is_already_billed").fill_null(False)
    if lines.filter(is_already).is_empty():
        return lines
    key = ["document", "kind", *KEY]
    whole = lines.filter(pl.col("entry") == "charge").select(*key, pl.col("line_id").alias("_whole"))
    return (
        lines.join(
            whole.unique(key, keep="last", maintain_order=True), on=key, how="left", maintain_order="left"
        )
        .with_columns(
            pl.when(is_already).then("_whole").otherwise("reverses_line_id").alias("reverses_line_id")
        )
        .drop("_whole")
    )
