"""Net and tax apart (`tax_base` exact_net): the tax of a line from its exact net, not from its posted one.

160.00 at 25 % for 29 of 30 days: net 154.67 and tax 38.67, each rounded once, from 154.666… and 38.666….
Each line is taxed by itself. A part of a period takes its tax from running totals, as it takes its net.
"""

from typing import cast

import polars as pl

from billing.core.money import LINE_LIMIT, PPM, RoundingMode, post, product, within
from billing.core.policy import Policy

OBLIGATION = ["item_id", "component_id", "kind", "entry", "service_start", "service_end"]


def exact_nets(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The exact net of charges by their OBLIGATION: up to their end (`after_num`) and before their start
    (`before_num`), both over `exact_den`.

    rows: priced charges: recurring with `_after` and `_before` parts of `factor_den`, or what is compared by
    amount with the `net_minor_billed` of its period.
    """
    if kind != "recurring":
        after, den = _net_num(), _net_den()
        before = product(pl.col("net_minor_billed").fill_null(0), den)
        after, before = after - before, after * 0
    else:
        after, before = (product(_net_num(), pl.col(name)) for name in ("_after", "_before"))
        den = product(_net_den(), pl.col("factor_den"))
    return rows.select(
        "item_id",
        "component_id",
        pl.lit(kind).alias("kind"),
        pl.lit("charge").alias("entry"),
        "service_start",
        "service_end",
        after.alias("after_num"),
        before.alias("before_num"),
        den.alias("exact_den"),
    )


def _net_num() -> pl.Expr:
    """The exact amount less its discount, over `_net_den`."""
    times = pl.max_horizontal(pl.col("discount_den") // pl.col("amount_den"), 1)
    return product(pl.col("amount_num"), times) - pl.col("discount_num")


def _net_den() -> pl.Expr:
    """A discount stands over a multiple of `amount_den`, or is 0 / 1."""
    return pl.max_horizontal("discount_den", "amount_den")


def with_exact_tax(lines: pl.DataFrame, exact: pl.DataFrame, mode: str) -> pl.DataFrame:
    """Adds `tax_minor` to charges: from their exact nets, or from the posted net of a line that has none or
    bears a discount of its document.

    Null where an amount leaves the bounds.
    """
    known = exact.with_columns(pl.lit(True).alias("_is_exact"))
    is_exact = pl.col("_is_exact").fill_null(False) & (pl.col("document_discount_minor") == 0)
    rows = lines.join(known, on=OBLIGATION, how="left", maintain_order="left").with_columns(
        pl.when(is_exact).then("after_num").otherwise("net_minor").alias("after_num"),
        pl.when(is_exact).then("before_num").otherwise(0).alias("before_num"),
        pl.when(is_exact).then("exact_den").otherwise(1).alias("exact_den"),
    )
    return _with_taxes(rows, {"_after": "after_num", "_before": "before_num"}, "exact_den", mode).select(
        *lines.columns, (pl.col("_after") - pl.col("_before")).alias("tax_minor")
    )


def with_exact_target(rows: pl.DataFrame, settings: Policy) -> pl.DataFrame:
    """Adds `_exact_tax` to lines whose time is taken back: the tax of all time removed so far, null by
    another `tax_base` or where the line bears a discount of its document.

    rows: rated lines with `_after` (time removed) and `_stays` of `factor_den`, `tax_minor`, `tax_rate_ppm`.
    """
    if settings.tax_base != "exact_net":
        return rows.with_columns(pl.lit(None, dtype=pl.Int64).alias("_exact_tax"))
    keeps = settings.credit_rounding == "kept_time"
    den = product(_net_den(), pl.col("factor_den"))
    num = product(_net_num(), pl.col("_stays" if keeps else "_after"))
    taxed = _with_taxes(
        rows.with_columns(num.alias("_exact_num"), den.alias("_exact_den")),
        {"_exact_tax": "_exact_num"},
        "_exact_den",
        settings.rounding,
    ).drop("_exact_num", "_exact_den")
    target = pl.col("tax_minor") - pl.col("_exact_tax") if keeps else pl.col("_exact_tax")
    of_line = pl.when(pl.col("_stays") == 0).then("tax_minor").otherwise(target)
    has_none = pl.col("document_discount_minor") != 0
    return taxed.with_columns(pl.when(~has_none).then(of_line).alias("_exact_tax"))


def _with_taxes(rows: pl.DataFrame, named: dict[str, str], den: str, mode: str) -> pl.DataFrame:
    """Adds the posted tax of exact amounts at `tax_rate_ppm`; step by step, as money.py asks of columns."""
    parts = [product(pl.col(num), pl.col("tax_rate_ppm")).alias(f"{name}_tax") for name, num in named.items()]
    rows = rows.with_columns(*parts, product(pl.col(den), PPM).alias("_tax_den"))
    posted = [
        post(pl.col(f"{name}_tax"), pl.col("_tax_den"), cast(RoundingMode, mode)).alias(name)
        for name in named
    ]
    bounded = [within(pl.col(name), LINE_LIMIT).cast(pl.Int64) for name in named]
    return (
        rows.with_columns(posted).with_columns(bounded).drop("_tax_den", *(f"{name}_tax" for name in named))
    )
