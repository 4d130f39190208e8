"""Discounts in a bill run: reads those of items that are more than plain shares, takes those of documents off
posted lines, and writes the uses that count.

A payer's document discounts act on the charges of each of its documents, before tax. The difference that made
the lines is found before them: a line keeps its own part (`document_discount_minor`), and what is compared
with later is its net without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import cast

import polars as pl
from sqlalchemy import and_, distinct, func, or_, select

from billing.core.adjustments import REACH_SCHEMA, discounted
from billing.core.cuts import FOREVER, agreed_discounts
from billing.core.discounts import ids_of, is_plain, uses_of
from billing.core.invoicing import PolicyVersion, version_on
from billing.core.money import RoundingMode
from billing.jobs.bill_facts import hold_customers, read_by_ids
from billing.store.store import Store
from billing.store.tables import (
    customer_discounts,
    discount_uses,
    discounts,
    invoices,
    line_items,
)


def special_discounts(store: Store, terms: pl.DataFrame) -> pl.DataFrame | None:
    """All discounts, where the terms name one that is an amount, counts its uses or is not always valid."""
    named = {one for text in terms["discount_ids"].unique() for one in ids_of(text)}
    if not named:
        return None
    known = store.frame(select(discounts))
    used = known.filter(pl.col("discount_id").is_in(list(named)))
    return None if all(is_plain(row) for row in used.iter_rows(named=True)) else known


def write_uses(store: Store, at: datetime, lines: pl.DataFrame) -> None:
    """Keep what each discount of an item that counts its uses, and each of a document, took off new
    charges."""
    is_new = (pl.col("new_discount_minor") > 0) | pl.col("document_uses").is_not_null()
    discounted_lines = lines.filter(is_new, pl.col("entry") == "charge")
    if discounted_lines.is_empty():
        return
    of_item = pl.col("new_discount_minor").alias("discount_minor")
    of_items = discounted_lines.with_columns(agreed_discounts(), of_item).filter(pl.col("discount_minor") > 0)
    if of_items.height:
        store.insert(discount_uses, uses_of(of_items, store.frame(select(discounts))), at)
    of_documents = (
        discounted_lines.select("line_id", pl.col("document_uses").str.split(",").alias("_use"))
        .explode("_use")
        .drop_nulls()
        .with_columns(pl.col("_use").str.split_exact(":", 1).struct.rename_fields(["discount_id", "amount"]))
        .unnest("_use")
        .select("line_id", "discount_id", pl.col("amount").cast(pl.Int64).alias("amount_minor"))
    )
    store.insert(discount_uses, of_documents, at)


# Discounts of documents.

_ANY = select(customer_discounts.c.customer_id).limit(1)
_GIVEN = select(
    customer_discounts.c.customer_id.label("payer_id"),
    customer_discounts.c.valid_start.label("given_from"),
    customer_discounts.c.valid_end.label("given_until"),
    discounts.c.discount_id,
    discounts.c.discount_ppm,
    discounts.c.amount_minor,
    discounts.c.currency.label("discount_currency"),
    discounts.c.times,
    discounts.c.valid_start,
    discounts.c.valid_end,
).join(discounts, discounts.c.discount_id == customer_discounts.c.discount_id)
# An invoice of 0.00 that was never issued is void, and counts.
_USED = (
    select(
        invoices.c.customer_id.label("payer_id"),
        discount_uses.c.discount_id,
        func.count(distinct(invoices.c.invoice_id)).label("used"),
    )
    .select_from(invoices)
    .join(line_items, line_items.c.invoice_id == invoices.c.invoice_id)
    .join(discount_uses, discount_uses.c.line_id == line_items.c.line_id)
    .join(discounts, discounts.c.discount_id == discount_uses.c.discount_id)
    .where(
        and_(discounts.c.scope == "document", discounts.c.times.is_not(None)),
        or_(invoices.c.state != "void", invoices.c.number.is_(None)),
    )
    .group_by(invoices.c.customer_id, discount_uses.c.discount_id)
)


def with_document_discounts(
    store: Store, lines: pl.DataFrame, known: Mapping[str, Sequence[PolicyVersion]], *, locks: bool
) -> pl.DataFrame:
    """Lines after their documents' discounts: `document_discount_minor` is part of `discount_minor` and out
    of `net_minor`; `document_uses` names what took it (`id:minor_units`, joined by commas).

    lines: with `document` and the facts of its payer. A credit brings the part of the line it takes back.
    locks: hold the payers whose discounts count their uses until the transaction ends (PostgreSQL).
    """
    part = pl.col("document_discount_minor").fill_null(0)
    lines = lines.with_columns(part, pl.lit(None, pl.String).alias("document_uses"))
    if lines.height and store.row(_ANY) is not None:
        lines = _with_parts(lines, _reached(store, lines, locks=locks), known)
    part = pl.col("document_discount_minor")
    if not (lines["document_discount_minor"] != 0).any():
        return lines
    return lines.with_columns(pl.col("net_minor") - part, pl.col("discount_minor") + part)


_bears = (pl.col("entry") == "charge") & (pl.col("net_minor") > 0)


def _reached(store: Store, lines: pl.DataFrame, *, locks: bool) -> pl.DataFrame:
    """The discounts of each document that holds a charge: REACH_SCHEMA without lines, `discount_id`,
    `payer_policy_name`, `issued_on`."""
    papers = (
        lines.filter(_bears)
        .group_by("document", maintain_order=True)
        .agg(pl.col("payer_id", "currency", "issued_on", "payer_policy_name").first())
    )
    payers = papers["payer_id"].unique().sort().to_list()
    given = read_by_ids(store, _GIVEN, customer_discounts.c.customer_id, payers)
    is_valid = pl.all_horizontal(
        pl.col("issued_on").is_between(start, pl.col(end).fill_null(FOREVER), closed="left")
        for start, end in (("given_from", "given_until"), ("valid_start", "valid_end"))
    )
    is_meant = pl.col("discount_currency").is_null() | (pl.col("discount_currency") == pl.col("currency"))
    found = (
        papers.join(given, on="payer_id")
        .filter(is_valid, is_meant)
        .sort("document", "given_from", "discount_id")
        .unique(["document", "discount_id"], keep="first", maintain_order=True)
        .with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over("document").alias("age"))
    )
    counted = found.filter(pl.col("times").is_not_null())["payer_id"].unique().sort().to_list()
    if not counted:
        return found
    if locks:
        hold_customers(store, counted)
    used = read_by_ids(store, _USED, invoices.c.customer_id, counted)
    turn = pl.int_range(pl.len(), dtype=pl.Int64).over("payer_id", "discount_id")
    is_left = pl.col("times").is_null() | (turn + pl.col("used").fill_null(0) < pl.col("times"))
    return found.join(used, on=["payer_id", "discount_id"], how="left", maintain_order="left").filter(is_left)


def _with_parts(
    lines: pl.DataFrame, reached: pl.DataFrame, known: Mapping[str, Sequence[PolicyVersion]]
) -> pl.DataFrame:
    """Charges with what the discounts of their documents take off them, by their payer's settings."""
    if reached.is_empty():
        return lines
    numbered = lines.with_row_index("line").with_columns(pl.col("line").cast(pl.Int64))
    bearing = numbered.filter(_bears).select("document", "line", "net_minor")
    parts = []
    for (name, on), of_policy in reached.group_by("payer_policy_name", "issued_on", maintain_order=True):
        assert isinstance(on, date)
        settings = version_on(known[str(name)], on).settings
        pairs = bearing.join(of_policy, on="document", maintain_order="left_right")
        taken = discounted(
            bearing.join(of_policy, on="document", how="semi", maintain_order="left"),
            pairs.select(*REACH_SCHEMA),
            order=settings.discount_order,
            mode=cast(RoundingMode, settings.rounding),
        )
        parts.append(taken.join(of_policy.select("document", "age", "discount_id"), on=["document", "age"]))
    uses = pl.format("{}:{}", "discount_id", "taken_minor").str.join(",")
    of_lines = (
        pl.concat(parts)
        .sort("line", "age")
        .group_by("line")
        .agg(pl.col("taken_minor").sum().alias("_taken"), uses.alias("_uses"))
    )
    return (
        numbered.join(of_lines, on="line", how="left", maintain_order="left")
        .with_columns(
            pl.col("document_discount_minor") + pl.col("_taken").fill_null(0),
            pl.col("_uses").alias("document_uses"),
        )
        .drop("line", "_taken", "_uses")
    )
