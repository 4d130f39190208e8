"""Takes back payments that came in at the bank and were matched wrongly.

Nothing posted changes: each application is undone by one with the negative amount, and so is the discount for
early payment of an invoice that is no longer paid. The money is owed to nobody known again.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import aliased

from billing.core.money import BillingError
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.journal import post_events
from billing.jobs.receive import DEBT, hold
from billing.store.store import Store
from billing.store.tables import (
    applications,
    dunning_cases,
    early_discounts,
    invoices,
    payment_attempts,
    payments,
)

_undoing = aliased(applications)
_STANDING = (
    select(
        applications.c.application_id,
        applications.c.source_kind,
        applications.c.source_id,
        applications.c.invoice_id,
        applications.c.amount_minor,
        early_discounts.c.payment_id,
        early_discounts.c.net_minor,
        early_discounts.c.tax_minor,
    )
    .outerjoin(early_discounts, early_discounts.c.application_id == applications.c.application_id)
    .where(
        applications.c.reverses_id.is_(None),
        ~exists().where(
            _undoing.c.invoice_id == applications.c.invoice_id,
            _undoing.c.reverses_id == applications.c.application_id,
        ),
    )
)
"""Applications that were not undone."""
_OF_PAYMENTS = _STANDING.where(applications.c.source_kind == "payment")
_DISCOUNTS = _STANDING.where(applications.c.source_kind == "early_discount")
_GIVEN_UP = (
    select(payments.c.payment_id, payments.c.invoice_id, payments.c.attempt)
    .outerjoin(dunning_cases, dunning_cases.c.case_id == payments.c.case_id)
    .where(
        payments.c.state == "canceled",
        payments.c.kind == "charge",
        or_(payments.c.case_id.is_(None), dunning_cases.c.closed_as == "recovered"),
        invoices.c.state == "open",
    )
    .join(invoices, and_(invoices.c.invoice_id == payments.c.invoice_id))
)


def undo_payments(store: Store, at: datetime, undone: pl.DataFrame, today: date) -> None:
    """Undo payments of one payer, whose row is held. undone: `payment_id`, `invoice_id`, `customer_id`,
    `entity_id`, `currency`, `amount_minor`, `kind` (transfer or recovery).

    Raises `illegal_transition` where a paid invoice is neither open nor paid any more.
    """
    ids = undone["payment_id"].to_list()
    parts = read_by_ids(store, _OF_PAYMENTS, applications.c.source_id, ids)
    recoveries = undone.filter(kind="recovery")
    reopened = parts["invoice_id"].unique().to_list()
    hold(store, [], [*reopened, *recoveries["invoice_id"].to_list()])
    kept = read_by_ids(store, _DISCOUNTS, applications.c.invoice_id, reopened)
    _undo_applications(store, at, undone, pl.concat([parts, kept]), today)
    _reopen(store, at, reopened)
    _forget_recoveries(store, at, recoveries)
    _undo(store, at, undone, today)
    _charge_again(store, at, reopened)


def _undo_applications(
    store: Store, at: datetime, undone: pl.DataFrame, standing: pl.DataFrame, today: date
) -> None:
    owner = undone.select("entity_id", "customer_id", "currency").unique()
    rows = standing.rename({"application_id": "reverses_id"}).with_columns(
        pl.Series("application_id", store.new_ids("app", standing.height), dtype=pl.String)
    )
    store.insert(
        applications,
        rows.select(
            "application_id",
            "source_kind",
            "source_id",
            "invoice_id",
            -pl.col("amount_minor"),
            pl.lit(today).alias("applied_on"),
            "reverses_id",
        ),
        at,
    )
    is_discount = pl.col("source_kind") == "early_discount"
    store.insert(
        early_discounts,
        rows.filter(is_discount).select(
            "application_id",
            "invoice_id",
            "payment_id",
            -pl.col("net_minor"),
            -pl.col("tax_minor"),
            pl.lit(today).alias("granted_on"),
        ),
        at,
    )
    event = pl.when(is_discount).then(pl.lit("early_discount_undone")).otherwise(pl.lit("credit_unapplied"))
    post_events(
        store,
        at,
        rows.join(owner, how="cross").select(
            event.alias("event"),
            pl.lit("application").alias("source_kind"),
            pl.col("application_id").alias("source_id"),
            "invoice_id",
            *_EVENT,
            pl.lit(today).alias("posted_on"),
            pl.when(is_discount).then("net_minor").otherwise("amount_minor").alias("net_minor"),
            pl.when(is_discount).then("tax_minor").otherwise(0).alias("tax_minor"),
        ),
    )


_EVENT = ("entity_id", "customer_id", "currency")


def _reopen(store: Store, at: datetime, invoice_ids: list[str]) -> None:
    found = read_by_ids(store, DEBT, invoices.c.invoice_id, invoice_ids)
    closed = found.filter(~pl.col("state").is_in(["open", "paid"]))
    if closed.height:
        raise BillingError("illegal_transition", f"{closed['invoice_id'][0]} is {closed['state'][0]}")
    paid = found.filter(state="paid").sort("invoice_id")
    nothing = pl.lit(None, pl.Date).alias("paid_on")
    store.update(invoices, paid.select("invoice_id", pl.lit("open").alias("state"), nothing), at)


def _forget_recoveries(store: Store, at: datetime, recoveries: pl.DataFrame) -> None:
    """Debts written off ask again for what a recovery had brought."""
    known = read_by_ids(
        store,
        select(invoices.c.invoice_id, invoices.c.recovered_minor, invoices.c.state),
        invoices.c.invoice_id,
        recoveries["invoice_id"].to_list(),
    )
    rows = known.join(recoveries.select("invoice_id", "amount_minor"), on="invoice_id").sort("invoice_id")
    left = (pl.col("recovered_minor") - pl.col("amount_minor")).alias("recovered_minor")
    store.update(invoices, rows.select("invoice_id", left), at)


def _undo(store: Store, at: datetime, undone: pl.DataFrame, today: date) -> None:
    """The payments themselves: none of them ever was this customer's."""
    ids = undone.select("payment_id")
    canceled = ids.with_columns(
        pl.lit("canceled").alias("state"),
        pl.lit(today).alias("undone_on"),
        pl.lit(None, pl.String).alias("invoice_id"),
    )
    store.update(payments, canceled, at)
    tried = ids.with_columns(pl.lit(1).alias("attempt"), pl.lit("undone").alias("outcome"))
    store.update(payment_attempts, tried, at)
    is_recovery = pl.col("kind") == "recovery"
    event = pl.when(is_recovery).then(pl.lit("recovery_undone")).otherwise(pl.lit("transfer_unmatched"))
    post_events(
        store,
        at,
        undone.select(
            event.alias("event"),
            pl.lit("payment").alias("source_kind"),
            pl.col("payment_id").alias("source_id"),
            "invoice_id",
            *_EVENT,
            pl.lit(today).alias("posted_on"),
            pl.col("amount_minor").alias("net_minor"),
        ),
    )


def _charge_again(store: Store, at: datetime, invoice_ids: list[str]) -> None:
    """Let what was given up because a payment undone had paid it be charged again, at once. What was given up
    with a case that ended without money stays so."""
    last = (
        read_by_ids(store, _GIVEN_UP, payments.c.invoice_id, invoice_ids)
        .sort("payment_id")
        .unique("invoice_id", keep="last", maintain_order=True)
    )
    left = read_by_ids(store, DEBT, invoices.c.invoice_id, invoice_ids).select("invoice_id", "open_minor")
    was_tried = pl.col("attempt") > 0
    rows = last.join(left, on="invoice_id", maintain_order="left").select(
        "payment_id",
        pl.when(was_tried).then(pl.lit("failed")).otherwise(pl.lit("pending")).alias("state"),
        pl.col("open_minor").alias("amount_minor"),
        pl.lit(at).alias("next_attempt_at"),
        pl.lit(0).alias("failures"),
        pl.lit(None, pl.String).alias("case_id"),
    )
    store.update(payments, rows, at)
