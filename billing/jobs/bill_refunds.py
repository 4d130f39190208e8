"""What of a run's credit notes is asked back as money: reads what was paid and used, writes the refunds.

The rule is core.refunds; making them is the job give_back. A run without such a cancellation asks nothing.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import aliased

from billing.core.refunds import refunds_due
from billing.jobs.bill_facts import read_by_ids
from billing.store.messages import announce
from billing.store.store import Store
from billing.store.tables import applications, credit_note_lines, line_items, payments, refunds

REFUNDED = (
    select(func.coalesce(func.sum(refunds.c.amount_minor), 0))
    .where(refunds.c.payment_id == payments.c.payment_id, refunds.c.state != "failed")
    .scalar_subquery()
)
"""What of a payment was given back, or is about to be."""
_LEFT = payments.c.amount_minor - payments.c.reversed_minor - REFUNDED
_APPLIED = func.sum(applications.c.amount_minor)
_PAID = (
    select(
        payments.c.payment_id,
        applications.c.invoice_id,
        payments.c.method_id,
        payments.c.received_on,
        case((_APPLIED > _LEFT, _LEFT), else_=_APPLIED).label("left_minor"),
    )
    .join(applications, applications.c.source_id == payments.c.payment_id)
    .where(applications.c.source_kind == "payment", payments.c.state == "captured")
    .group_by(payments.c.payment_id, applications.c.invoice_id)
    .having(_APPLIED > 0)
)
_origin = aliased(line_items)
_TOTAL = line_items.c.net_minor + line_items.c.tax_minor
_CHARGED = select(line_items.c.invoice_id, _TOTAL.label("used_minor")).where(line_items.c.entry == "charge")
_CREDITED = (
    select(_origin.c.invoice_id, _TOTAL.label("used_minor"))
    .join(
        line_items,
        and_(line_items.c.item_id == _origin.c.item_id, line_items.c.reverses_line_id == _origin.c.line_id),
    )
    .where(line_items.c.entry == "credit")
)
_NOTED = select(
    line_items.c.invoice_id,
    (-credit_note_lines.c.net_minor - credit_note_lines.c.tax_minor).label("used_minor"),
).join(credit_note_lines, credit_note_lines.c.line_id == line_items.c.line_id)


_REFUND_SCHEMA = {
    "document": pl.Int64,
    "payment_id": pl.String,
    "amount_minor": pl.Int64,
    "method_id": pl.String,
}


def refunds_of(store: Store, lines: pl.DataFrame) -> pl.DataFrame:
    """What a run refunds: `document` (its credit note), `payment_id`, `amount_minor`, `method_id` (null: by
    transfer).

    lines: the run's, not yet written, those to be given back with `is_refunded`.
    """
    if not lines["is_refunded"].any():
        return pl.DataFrame(schema=_REFUND_SCHEMA)
    credited = lines.filter(pl.col("entry") == "credit").select(
        "document",
        "is_refunded",
        pl.col("origin_invoice_id").alias("invoice_id"),
        (-pl.col("net_minor") - pl.col("tax_minor")).alias("note_minor"),
    )
    notes = credited.filter("is_refunded").group_by("document", "invoice_id").agg(pl.col("note_minor").sum())
    ids = notes["invoice_id"].unique().to_list()
    used = [
        read_by_ids(store, statement, column, ids)
        for statement, column in (
            (_CHARGED, line_items.c.invoice_id),
            (_CREDITED, _origin.c.invoice_id),
            (_NOTED, line_items.c.invoice_id),
        )
    ]
    now = credited.select("invoice_id", -pl.col("note_minor").alias("used_minor"))
    invoices = pl.concat([*used, now]).group_by("invoice_id").agg(pl.col("used_minor").sum())
    paid = read_by_ids(store, _PAID, applications.c.invoice_id, ids)
    found = refunds_due(notes, invoices, paid)
    methods = paid.select("payment_id", "method_id").unique()
    return found.join(methods, on="payment_id", maintain_order="left")


def requested(store: Store, lines: pl.DataFrame, papers: pl.DataFrame) -> pl.DataFrame:
    """The same with `note_id`, `issued_on`, `payer_id` of the run's papers."""
    heads = papers.select("document", "note_id", "issued_on", "payer_id")
    return refunds_of(store, lines).join(heads, on="document", maintain_order="left")


def write_requested(store: Store, at: datetime, rows: pl.DataFrame) -> None:
    """Save refunds to be made, with a message each. Money of a card goes back through the gateway, that of a
    transfer by hand."""
    rows = rows.with_columns(
        pl.Series("refund_id", store.new_ids("ref", rows.height), dtype=pl.String),
        pl.when(pl.col("method_id").is_not_null()).then(pl.lit(at)).alias("next_attempt_at"),
        pl.lit("requested").alias("state"),
    )
    store.insert(
        refunds,
        rows.select(
            "refund_id",
            "payment_id",
            "note_id",
            "amount_minor",
            "state",
            "next_attempt_at",
            pl.col("issued_on").alias("requested_on"),
        ),
        at,
    )
    announce(
        store,
        at,
        [
            (
                "refund.requested",
                row["refund_id"],
                {name: row[name] for name in ("payment_id", "note_id", "amount_minor")}
                | {"customer_id": row["payer_id"], "is_by_hand": row["method_id"] is None},
            )
            for row in rows.iter_rows(named=True)
        ],
    )
