"""Takes back payments that came in at the bank and were matched wrongly.

Nothing posted changes: each application is undone by one with the negative amount, and so is the discount for
early payment of an invoice that is no longer paid. The money is owed to nobody known again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

import polars as pl
from sqlalchemy import or_, select

from billing.core.money import BillingError
from billing.jobs.bill_facts import read_by_ids
from billing.jobs.credit import STANDING, undo_applications
from billing.jobs.journal import post_events
from billing.jobs.payments_ahead import IS_TAKEN_BACK, lower_charges
from billing.jobs.receive import hold
from billing.store.debts import DEBT
from billing.store.store import Store
from billing.store.tables import (
    applications,
    dunning_cases,
    early_discounts,
    invoices,
    payment_attempts,
    payments,
)

_OF_PAYMENTS = STANDING.where(applications.c.source_kind == "payment")
_DISCOUNTS = (
    STANDING.where(applications.c.source_kind == "early_discount")
    .join(early_discounts, early_discounts.c.application_id == applications.c.application_id)
    .add_columns(early_discounts.c.payment_id, early_discounts.c.net_minor, early_discounts.c.tax_minor)
)
_GIVEN_UP = (
    select(payments.c.payment_id, payments.c.invoice_id, payments.c.attempt)
    .outerjoin(dunning_cases, dunning_cases.c.case_id == payments.c.case_id)
    .where(
        payments.c.state == "canceled",
        payments.c.kind == "charge",
        or_(payments.c.case_id.is_(None), dunning_cases.c.closed_as == "recovered"),
        invoices.c.state == "open",
        invoices.c.collection == "automatic",
        ~IS_TAKEN_BACK,
    )
    .join(invoices, invoices.c.invoice_id == payments.c.invoice_id)
)


def undo_payments(store: Store, at: datetime, undone: pl.DataFrame, today: date) -> None:
    """Undo payments of one payer, whose row is held. undone: `payment_id`, `invoice_id`, `customer_id`,
    `entity_id`, `currency`, `amount_minor`, `kind` (transfer or recovery).

    Raises `illegal_transition` where a paid invoice is neither open nor paid any more, or is being charged.
    """
    ids = undone["payment_id"].to_list()
    parts = read_by_ids(store, _OF_PAYMENTS, applications.c.source_id, ids).sort("application_id")
    recoveries = undone.filter(kind="recovery")
    reopened = parts["invoice_id"].unique().to_list()
    held = hold(store, [], [*reopened, *recoveries["invoice_id"].to_list()])
    under_way = held.debts.filter("is_charged")["invoice_id"].to_list()
    if under_way:
        raise BillingError("illegal_transition", f"a charge of {under_way[0]} is under way")
    owner = undone.select(pl.col("customer_id").alias("payer_id"), "entity_id", "currency").row(0, named=True)
    post_events(store, at, undo_applications(store, at, parts, owner, today))
    undo_discounts(store, at, reopened, owner, today)
    _reopen(store, at, reopened)
    _forget_recoveries(store, at, recoveries)
    _undo(store, at, undone, today)
    _charge_again(store, at, reopened, held.charges)


def undo_discounts(
    store: Store, at: datetime, invoice_ids: list[str], owner: Mapping[str, str], today: date
) -> None:
    """Take back what was kept back of invoices for early payment, since they are no longer paid so.

    owner: `payer_id`, `entity_id`, `currency` of all of them, held by the caller.
    """
    standing = read_by_ids(store, _DISCOUNTS, applications.c.invoice_id, invoice_ids).sort("application_id")
    if standing.is_empty():
        return
    events = undo_applications(store, at, standing, owner, today).with_columns(
        pl.lit("early_discount_undone").alias("event"),
        standing["net_minor"],
        standing["tax_minor"],
        standing["payment_id"],
    )
    store.insert(
        early_discounts,
        events.select(
            pl.col("source_id").alias("application_id"),
            "invoice_id",
            "payment_id",
            -pl.col("net_minor"),
            -pl.col("tax_minor"),
            pl.lit(today).alias("granted_on"),
        ),
        at,
    )
    post_events(store, at, events.drop("payment_id"))


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
            "entity_id",
            "customer_id",
            "currency",
            pl.lit(today).alias("posted_on"),
            pl.col("amount_minor").alias("net_minor"),
        ),
    )


def _charge_again(store: Store, at: datetime, invoice_ids: list[str], charges: pl.DataFrame) -> None:
    """Let what waits to be charged ask for all that is open again, and what was given up because a payment
    undone had paid it be charged again, at once. What was given up with a case that ended without money stays
    so, and so does all of an invoice of which the bank took a payment back, or that is paid on net terms."""
    left = read_by_ids(store, DEBT, invoices.c.invoice_id, invoice_ids).select("invoice_id", "open_minor")
    lower_charges(store, at, charges, left.rename({"open_minor": "left_minor"}))
    last = (
        read_by_ids(store, _GIVEN_UP, payments.c.invoice_id, invoice_ids)
        .join(charges, on="invoice_id", how="anti")
        .sort("payment_id")
        .unique("invoice_id", keep="last", maintain_order=True)
    )
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
