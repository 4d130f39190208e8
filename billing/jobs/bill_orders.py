"""Purchase orders in a bill run: what was billed against them, and which documents they hold back.

A document that bills something is held where its payer needs a purchase order and none is named, where the
day of issue lies outside of the order's validity, or where the order's budget (before tax, less what was
credited) would be exceeded. Nothing of it is posted, so all of it is still owed and the next run tries again.
"""

from __future__ import annotations

from datetime import date

import polars as pl
from sqlalchemy import func, select

from billing.jobs.bill_facts import read_by_ids
from billing.jobs.bill_groups import GROUP
from billing.store.store import Store
from billing.store.tables import credit_note_lines, invoices, line_items, purchase_orders

# A void invoice is taken back whole.
_INVOICED = (
    select(invoices.c.po_id, func.sum(invoices.c.net_minor).label("net_minor"))
    .where(invoices.c.state != "void")
    .group_by(invoices.c.po_id)
)
_CREDITED = (
    select(invoices.c.po_id, (-func.sum(credit_note_lines.c.net_minor)).label("net_minor"))
    .select_from(invoices)
    .join(line_items, line_items.c.invoice_id == invoices.c.invoice_id)
    .join(credit_note_lines, credit_note_lines.c.line_id == line_items.c.line_id)
    .where(invoices.c.state != "void")
    .group_by(invoices.c.po_id)
)
_ORDERS = select(
    purchase_orders.c.po_id,
    purchase_orders.c.budget_minor,
    purchase_orders.c.valid_start,
    purchase_orders.c.valid_end,
)
_HELD_ORDERS = _ORDERS.order_by(purchase_orders.c.po_id).with_for_update()

HELD_SCHEMA = pl.Schema(
    {
        "document": pl.Int64(),
        **{name: pl.String() for name in GROUP},
        "net_minor": pl.Int64(),
        "code": pl.String(),
    }
)


def billed_on_orders(store: Store, po_ids: list[str]) -> pl.DataFrame:
    """What was invoiced on purchase orders less what was credited, before tax: `po_id`, `billed_minor`."""
    found = [read_by_ids(store, one, invoices.c.po_id, po_ids) for one in (_INVOICED, _CREDITED)]
    typed = [one.with_columns(pl.col("net_minor").cast(pl.Int64)) for one in found]
    return pl.concat(typed).group_by("po_id").agg(pl.col("net_minor").sum().alias("billed_minor"))


def held_by_orders(
    store: Store, lines: pl.DataFrame, documents: pl.DataFrame, *, locks: bool
) -> pl.DataFrame:
    """The documents that may not be issued, as HELD_SCHEMA. lines: with `document`, their group, and whether
    its payer `requires_purchase_order`. locks: hold the orders until the transaction ends, so that no other
    run spends their budgets meanwhile (PostgreSQL; SQLite has one writer)."""
    if not (lines["requires_purchase_order"].any() or lines["po_id"].null_count() < lines.height):
        return pl.DataFrame(schema=HELD_SCHEMA)
    heads = lines.group_by("document", maintain_order=True).agg(
        pl.col(*GROUP, "issued_on", "requires_purchase_order").first(),
        (pl.col("entry") == "charge").any().alias("bills"),
    )
    net = (pl.col("net_minor") - pl.col("note_net_minor")).alias("net_minor")
    papers = heads.join(documents.select("document", net), on="document", maintain_order="left")
    ids = papers["po_id"].drop_nulls().unique().sort().to_list()
    orders = read_by_ids(
        store,
        _HELD_ORDERS if locks and not store.is_sqlite else _ORDERS,
        purchase_orders.c.po_id,
        ids,
    )
    papers = papers.join(orders, on="po_id", how="left", maintain_order="left").join(
        billed_on_orders(store, ids), on="po_id", how="left", maintain_order="left"
    )
    code = _code_of_validity()
    papers = papers.with_columns(pl.when("bills").then(code).alias("code"))
    return _beyond_budgets(papers).filter(pl.col("code").is_not_null()).select(*HELD_SCHEMA)


def _code_of_validity() -> pl.Expr:
    is_valid = pl.col("issued_on").is_between(
        "valid_start", pl.col("valid_end").fill_null(date.max), closed="left"
    )
    return (
        pl.when(pl.col("po_id").is_null() & pl.col("requires_purchase_order"))
        .then(pl.lit("po_missing"))
        .when(pl.col("po_id").is_not_null() & ~is_valid)
        .then(pl.lit("po_expired"))
    )


def _beyond_budgets(papers: pl.DataFrame) -> pl.DataFrame:
    """Gives `po_exhausted` to the documents that do not fit any more, in their order, what gives money back
    first. Each round settles the first of an order that does not fit, and an order has few documents."""
    left = pl.col("budget_minor") - pl.col("billed_minor").fill_null(0)
    papers = papers.sort(pl.col("net_minor") > 0, "document")
    while True:
        counts = pl.when(pl.col("code").is_null()).then("net_minor").otherwise(0)
        is_beyond = (
            pl.col("code").is_null() & (pl.col("net_minor") > 0) & (counts.cum_sum().over("po_id") > left)
        ).fill_null(False)
        first = papers.filter(is_beyond).unique("po_id", keep="first", maintain_order=True)["document"]
        if first.is_empty():
            return papers.sort("document")
        is_first = pl.col("document").is_in(first.implode())
        papers = papers.with_columns(
            pl.when(is_first).then(pl.lit("po_exhausted")).otherwise("code").alias("code")
        )
