"""What a void leaves to bill: its lines are owed again, and the invoice that bills them names it."""

from __future__ import annotations

import polars as pl
from sqlalchemy import select

from billing.core import thresholds
from billing.core.invoicing import SERVICE, SERVICE_KEY
from billing.jobs.bill_facts import read_by_ids
from billing.store.store import Store
from billing.store.tables import invoices, line_items

VOIDED_SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "service_start": pl.Date(),
        "service_end": pl.Date(),
        "invoice_id": pl.String(),
    }
)
"""A line of a void invoice."""


_EARLY = (
    select(line_items.c.line_id)
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .where(invoices.c.kind == thresholds.INVOICE)
)


def reopened(store: Store, charged: pl.DataFrame, voided: pl.Series) -> pl.DataFrame:
    """LINE_KEY and SERVICE of charges that were billed on void invoices alone, whatever of them was billed
    early."""
    key = SERVICE_KEY
    is_void = pl.col("line_id").is_in(voided.implode())
    touched = charged.join(charged.filter(is_void), on=key, how="semi")
    early = read_by_ids(store, _EARLY, line_items.c.line_id, touched["line_id"].to_list())
    at_end = touched.join(early, on="line_id", how="anti")
    return at_end.group_by(key).agg(is_void.all().alias("_is_void")).filter("_is_void").select(key)


_REPLACED = (
    select(
        line_items.c.item_id,
        line_items.c.service_start,
        line_items.c.service_end,
        invoices.c.replaces_id.label("invoice_id"),
    )
    .join(line_items, line_items.c.invoice_id == invoices.c.invoice_id)
    .where(invoices.c.replaces_id.is_not(None), invoices.c.state != "void")
)


def replaced(store: Store, lines: pl.DataFrame, papers: pl.DataFrame, voided: pl.DataFrame) -> pl.DataFrame:
    """Which document replaces which void invoice: `document`, `replaces_id`.

    A document replaces the invoice of a voided line if it charges the same item for some of the same time,
    and no invoice that stands did so before. lines: of the run. voided: rows of VOIDED_SCHEMA.
    """
    known = read_by_ids(store, _REPLACED, invoices.c.customer_id, papers["payer_id"].unique().to_list())
    done = _overlapping(voided.with_row_index("_row"), known).filter(
        pl.col("invoice_id") == pl.col("invoice_id_other")
    )
    left = voided.with_row_index("_row").join(done, on="_row", how="anti")
    charges = lines.filter(entry="charge").select("document", "item_id", *SERVICE)
    return (
        _overlapping(charges, left.drop("_row"))
        .group_by("document")
        .agg(pl.col("invoice_id").max().alias("replaces_id"))
    )


def _overlapping(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Pairs of the same item whose service shares a day."""
    starts, ends = pl.col("service_start"), pl.col("service_end")
    return one.join(other, on="item_id", suffix="_other").filter(
        starts < pl.col("service_end_other"), ends > pl.col("service_start_other")
    )
