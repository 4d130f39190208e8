"""The lines of a draft: what is known of amounts, told as line items."""

from __future__ import annotations

import polars as pl

from billing.core import charges, commitments

LINE_SCHEMA = pl.Schema(
    {
        "customer_id": pl.String(),
        "payer_id": pl.String(),
        "ship_to": pl.String(),
        "entity_id": pl.String(),
        "item_id": pl.String(),
        "component_id": pl.String(),
        "position": pl.Int64(),
        "kind": pl.String(),
        "entry": pl.String(),
        "service_start": pl.Date(),
        "service_end": pl.Date(),
        "revision": pl.Int64(),
        "reference_start": pl.Date(),
        "reference_end": pl.Date(),
        "terms_id": pl.String(),
        "price_id": pl.String(),
        "quantity_mantissa": pl.Int64(),
        "quantity_scale": pl.Int64(),
        "factor_num": pl.Int64(),
        "factor_den": pl.Int64(),
        "currency": pl.String(),
        "gross_minor": pl.Int64(),
        "discount_minor": pl.Int64(),
        "net_minor": pl.Int64(),
        "tax_minor": pl.Int64(),
        "document_discount_minor": pl.Int64(),
        "tax_code": pl.String(),
        "product_category": pl.String(),
        "tax_category": pl.String(),
        "tax_country": pl.String(),
        "tax_rate_ppm": pl.Int64(),
        "policy_name": pl.String(),
        "policy_version": pl.Int64(),
        "reverses_line_id": pl.String(),
        "origin_invoice_id": pl.String(),
        "origin_po_id": pl.String(),
        "description": pl.String(),
        "explanation": pl.String(),
        "is_refunded": pl.Boolean(),
        "is_already_billed": pl.Boolean(),
        "invoice_kind": pl.String(),
        "issue_on": pl.Date(),
    }
)


def shaped(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The frame with exactly the columns of a schema; what it lacks is null."""
    return frame.select(
        pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in schema.items()
    )


def charge_lines(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Lines of fees and seats (recurring), usage or goods, with what their amount was worked out from."""
    amount = [pl.col(name).cast(pl.String) for name in ("amount_num", "amount_den")]
    whole = pl.concat_str(pl.lit('{"whole_minor": "'), amount[0], pl.lit("/"), amount[1], pl.lit('"'))
    if kind != "recurring":
        rows = rows.with_columns(
            pl.lit(1, pl.Int64).alias("factor_num"), pl.lit(1, pl.Int64).alias("factor_den")
        )
        quantity = pl.col("period_quantity").cast(pl.String)
        whole = pl.concat_str(whole, pl.lit(', "period_quantity_mantissa": '), quantity)
    if "cut_num" in rows.columns:
        cut = pl.format(', "cut_minor": "{}/{}"', pl.col("cut_num").cast(pl.String), amount[1])
        is_cut = (pl.col("cut_num") > 0).fill_null(False)
        whole = pl.concat_str(whole, pl.when(is_cut).then(cut).otherwise(pl.lit("")))
    if "amount_detail" in rows.columns:
        whole = pl.concat_str(whole, pl.concat_str(pl.lit(", "), "amount_detail").fill_null(""))
    choice = pl.col("price_choice")
    if "pool_choice" in rows.columns:
        choice = pl.coalesce("pool_choice", choice)
    choice = pl.concat_str(pl.lit(', "price": '), choice).fill_null("")
    return shaped(
        rows.with_columns(
            pl.lit(kind).alias("kind"),
            pl.lit("charge").alias("entry"),
            pl.col("bill_to").alias("payer_id"),
            pl.concat_str("plan_name", pl.lit(", "), "component_name").alias("description"),
            pl.concat_str(whole, choice, pl.lit("}")).alias("explanation"),
            pl.col("due_on").alias("issue_on"),
        ),
        LINE_SCHEMA,
    )


def true_up_lines(rows: pl.DataFrame) -> pl.DataFrame:
    """Lines of what is missing to a promise; that of a price names it."""
    promised = pl.concat_str(pl.col("promised_num").cast(pl.String), pl.lit("/"), "promised_den")
    return _whole_lines(
        rows.with_columns(
            pl.when(pl.col("component_id") != commitments.COMPONENT).then("price_id").alias("price_id"),
            pl.concat_str("plan_name", pl.lit(", "), "component_name").alias("description"),
        ),
        "true_up",
        pl.concat_str(
            pl.lit('{"promised_minor": "'),
            promised,
            pl.lit('", "covered_minor": '),
            "covered_minor",
            pl.lit("}"),
        ),
    )


def one_time_lines(rows: pl.DataFrame) -> pl.DataFrame:
    """Lines of charges that come once."""
    amount = (pl.lit('{"whole_minor": "'), "amount_minor", pl.lit('/1"}'))
    no_price = pl.lit(None, pl.String).alias("price_id")
    return _whole_lines(rows.with_columns(no_price), charges.KIND, pl.concat_str(*amount))


def _whole_lines(rows: pl.DataFrame, kind: str, explanation: pl.Expr) -> pl.DataFrame:
    """Charges that are posted whole, whatever part of a period they are for."""
    return shaped(
        rows.with_columns(
            pl.lit(kind).alias("kind"),
            pl.lit("charge").alias("entry"),
            pl.col("bill_to").alias("payer_id"),
            pl.lit(1, pl.Int64).alias("factor_num"),
            pl.lit(1, pl.Int64).alias("factor_den"),
            explanation.alias("explanation"),
            pl.col("due_on").alias("issue_on"),
        ),
        LINE_SCHEMA,
    )


def credit_lines(rows: pl.DataFrame) -> pl.DataFrame:
    """Lines that take back posted ones, with positive amounts given."""
    names = ("gross_minor", "discount_minor", "net_minor", "tax_minor", "document_discount_minor")
    return shaped(
        rows.with_columns(
            *(-pl.col(name) for name in names),
            pl.lit("credit").alias("entry"),
            pl.col("line_id").alias("reverses_line_id"),
            pl.col("invoice_id").alias("origin_invoice_id"),
            pl.lit(None, dtype=pl.String).alias("explanation"),
            pl.when(pl.col("kind").is_in(["recurring", charges.KIND]))
            .then("service_start")
            .alias("issue_on"),
        ),
        LINE_SCHEMA,
    )
