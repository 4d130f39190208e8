"""What a customer has to pay with before any money is asked for: the credit of notes, and what of payments is
applied to no invoice. Reads it, and writes what it pays.

Which credit pays which invoice is decided by core.adjustments.applied. Whoever spends credit or gives it back
holds the payer's customer row first (PostgreSQL), so none of it is spent twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

import polars as pl
from sqlalchemy import and_, exists, func, select
from sqlalchemy.orm import aliased

from billing.jobs.bill_facts import read_by_ids
from billing.jobs.wallets import moves_of, write_movements
from billing.store.store import Store
from billing.store.tables import (
    applications,
    bank_transfers,
    credit_notes,
    customers,
    invoices,
    payments,
    refunds,
)

OWNER = ["payer_id", "entity_id", "currency"]
"""Credit pays the invoices of one payer, seller and currency."""

_USED = func.coalesce(func.sum(applications.c.amount_minor), 0)
_GIVEN_BACK = (
    select(func.coalesce(func.sum(refunds.c.amount_minor), 0))
    .where(refunds.c.note_id == credit_notes.c.note_id, refunds.c.state != "failed")
    .scalar_subquery()
)
_LEFT_OF_NOTE = credit_notes.c.total_minor - _USED - _GIVEN_BACK
_OF_NOTES = (
    select(
        credit_notes.c.customer_id.label("payer_id"),
        credit_notes.c.entity_id,
        credit_notes.c.currency,
        credit_notes.c.note_id.label("source_id"),
        credit_notes.c.issued_on.label("since"),
        _LEFT_OF_NOTE.label("left_minor"),
    )
    .outerjoin(
        applications,
        and_(applications.c.source_id == credit_notes.c.note_id, applications.c.source_kind == "credit_note"),
    )
    .group_by(
        credit_notes.c.note_id,
        credit_notes.c.customer_id,
        credit_notes.c.entity_id,
        credit_notes.c.currency,
        credit_notes.c.issued_on,
        credit_notes.c.total_minor,
    )
    .having(_LEFT_OF_NOTE > 0)
)
_APPLIED = (
    select(_USED)
    .where(applications.c.source_id == payments.c.payment_id, applications.c.source_kind == "payment")
    .scalar_subquery()
)
_SENT_BACK = (
    select(func.coalesce(func.sum(refunds.c.amount_minor), 0))
    .where(
        refunds.c.payment_id == payments.c.payment_id,
        refunds.c.note_id.is_(None),
        refunds.c.state != "failed",
    )
    .scalar_subquery()
)
_OF_PAYMENTS = (
    select(
        payments.c.customer_id.label("payer_id"),
        func.coalesce(bank_transfers.c.entity_id, invoices.c.entity_id, customers.c.entity_id).label(
            "entity_id"
        ),
        payments.c.currency,
        payments.c.payment_id.label("source_id"),
        payments.c.received_on.label("since"),
        (payments.c.amount_minor - payments.c.reversed_minor - _APPLIED - _SENT_BACK).label("left_minor"),
    )
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .outerjoin(invoices, invoices.c.invoice_id == payments.c.invoice_id)
    .outerjoin(bank_transfers, bank_transfers.c.transfer_id == payments.c.transfer_id)
    .where(
        payments.c.is_spent.is_(False),
        payments.c.state == "captured",
        payments.c.kind != "recovery",
    )
)


def open_credit(store: Store, payer_ids: Sequence[str]) -> pl.DataFrame:
    """The credit of some payers, the oldest first: OWNER, `source_kind` (credit_note or payment),
    `source_id`, `since`, `left_minor`.

    Payments that are spent are not looked at; those found to be so are in it with 0 (`mark_spent`).
    """
    return pl.concat(
        read_by_ids(store, statement, column, payer_ids).with_columns(pl.lit(kind).alias("source_kind"))
        for kind, statement, column in (
            ("credit_note", _OF_NOTES, credit_notes.c.customer_id),
            ("payment", _OF_PAYMENTS, payments.c.customer_id),
        )
    ).sort("since", "source_id")


def mark_spent(store: Store, at: datetime, credit: pl.DataFrame, spent: pl.DataFrame) -> None:
    """Note which payments have nothing left, so that nobody reads them again for their credit.

    credit: as `open_credit` gives it. spent: `source_id`, `amount_minor` of what it pays now.
    """
    money = credit.filter(pl.col("source_kind") == "payment")
    if money.is_empty():
        return
    used = spent.group_by("source_id").agg(pl.col("amount_minor").sum())
    left = pl.col("left_minor") - pl.col("amount_minor").fill_null(0)
    done = money.join(used, on="source_id", how="left").filter(left == 0)
    store.update(
        payments, done.select(pl.col("source_id").alias("payment_id"), pl.lit(True).alias("is_spent")), at
    )


def write_applications(store: Store, at: datetime, paid: pl.DataFrame, debts: pl.DataFrame) -> pl.DataFrame:
    """Write what credit and wallets pay, let invoices it settles be paid; returns the events for the journal.

    paid: OWNER, `source_kind`, `source_id`, `invoice_id`, `amount_minor`, `applied_on`. debts: the invoices
    issued before, `invoice_id` and `open_minor`.
    """
    ids = pl.Series("application_id", store.new_ids("app", paid.height), dtype=pl.String)
    rows = paid.with_columns(ids)
    columns = ("application_id", "source_kind", "source_id", "invoice_id", "amount_minor", "applied_on")
    store.insert(applications, rows.select(columns), at)
    write_movements(store, at, moves_of(rows, "draw"))
    sums = rows.group_by("invoice_id").agg(pl.col("amount_minor").sum(), pl.col("applied_on").max())
    settled = (
        debts.join(sums, on="invoice_id")
        .filter(pl.col("amount_minor") == pl.col("open_minor"))
        .select("invoice_id", pl.lit("paid").alias("state"), pl.col("applied_on").alias("paid_on"))
    )
    store.update(invoices, settled, at)
    is_wallet = pl.col("source_kind") == "wallet"
    event = pl.when(is_wallet).then(pl.lit("wallet_drawn")).otherwise(pl.lit("credit_applied"))
    return rows.select(
        event.alias("event"),
        pl.lit("application").alias("source_kind"),
        pl.col("application_id").alias("source_id"),
        "invoice_id",
        "entity_id",
        pl.col("payer_id").alias("customer_id"),
        "currency",
        pl.col("applied_on").alias("posted_on"),
        pl.col("amount_minor").alias("net_minor"),
        pl.lit(0, pl.Int64).alias("tax_minor"),
    )


_undoing = aliased(applications)
STANDING = (
    select(applications, (payments.c.recorded_at < invoices.c.recorded_at).label("was_there"))
    .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
    .outerjoin(
        payments,
        and_(payments.c.payment_id == applications.c.source_id, applications.c.source_kind == "payment"),
    )
    .where(
        applications.c.reverses_id.is_(None),
        ~exists().where(
            _undoing.c.invoice_id == applications.c.invoice_id,
            _undoing.c.reverses_id == applications.c.application_id,
        ),
    )
)
"""What pays invoices and was not undone; `was_there`: money that came before the invoice, so that it was no
answer to it but credit."""


def undo_applications(
    store: Store, at: datetime, standing: pl.DataFrame, head: Mapping[str, str], on: date
) -> pl.DataFrame:
    """Undo what pays an invoice, so that it is credit or balance again; returns the events for the journal.

    standing: rows of STANDING. head: the invoice's OWNER. The invoice's own state is the caller's.
    """
    ids = pl.Series("application_id", store.new_ids("app", standing.height), dtype=pl.String)
    rows = standing.select(
        ids,
        "source_kind",
        "source_id",
        "invoice_id",
        -pl.col("amount_minor"),
        pl.lit(on).alias("applied_on"),
        pl.col("application_id").alias("reverses_id"),
    )
    store.insert(applications, rows, at)
    money = rows.filter(source_kind="payment").select(pl.col("source_id").alias("payment_id")).unique()
    store.update(payments, money.with_columns(pl.lit(False).alias("is_spent")), at)
    write_movements(store, at, moves_of(rows, "returned"))
    is_wallet = pl.col("source_kind") == "wallet"
    event = pl.when(is_wallet).then(pl.lit("wallet_returned")).otherwise(pl.lit("credit_unapplied"))
    return rows.select(
        event.alias("event"),
        pl.lit("application").alias("source_kind"),
        pl.col("application_id").alias("source_id"),
        "invoice_id",
        pl.lit(head["entity_id"]).alias("entity_id"),
        pl.lit(head["payer_id"]).alias("customer_id"),
        pl.lit(head["currency"]).alias("currency"),
        pl.lit(on).alias("posted_on"),
        -pl.col("amount_minor").alias("net_minor"),
    )
