"""Money that comes in by bank transfer for an invoice, all of it or a part."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import OPEN_MINOR
from billing.jobs.journal import post_events
from billing.jobs.payments_ahead import lower, payments_ahead
from billing.service.acts import act, announce
from billing.store.store import Store
from billing.store.tables import applications, customers, invoices, payment_attempts, payments

_INVOICE = (
    select(invoices, customers.c.time_zone, OPEN_MINOR.label("open_minor"))
    .join(customers, customers.c.customer_id == invoices.c.customer_id)
    .where(invoices.c.invoice_id == bindparam("id"))
)


_PAYER = (
    select(customers.c.customer_id)
    .where(customers.c.customer_id == bindparam("id"))
    .with_for_update(read=True, key_share=True)
)
_HELD = select(invoices.c.invoice_id).where(invoices.c.invoice_id == bindparam("id")).with_for_update()


@act
def receive_transfer(
    store: Store, at: datetime, *, invoice_id: str, amount_minor: int, bank_ref: str | None = None
) -> str:
    """A transfer pays an open invoice, or a part of it; returns the payment's id.

    What is charged otherwise for the invoice is lowered to the rest, or given up where nothing is left: a
    dunning case with nothing else unpaid closes as recovered. Raises `unknown_invoice`, `negative_quantity`,
    `amount_out_of_range` above what is open, `illegal_transition` while a charge is under way or its outcome
    unknown.
    """
    row = store.row(_INVOICE, {"id": invoice_id})
    if row is None:
        raise BillingError("unknown_invoice", invoice_id)
    if not store.is_sqlite:
        # Whoever else pays this invoice waits: the bill run with credit, which holds the payer before an
        # invoice as here, and other transfers. What is open is read only then.
        store.row(_PAYER, {"id": row["customer_id"]})
        store.row(_HELD, {"id": invoice_id})
        row = store.row(_INVOICE, {"id": invoice_id}) or row
    if amount_minor <= 0:
        raise BillingError("negative_quantity", f"a transfer of {amount_minor}")
    open_minor = row["open_minor"] if row["state"] == "open" else 0
    if amount_minor > open_minor:
        raise BillingError("amount_out_of_range", f"{amount_minor} of {open_minor} open on {invoice_id}")
    today = local_date(at, row["time_zone"])
    others = payments_ahead(store, invoice_id)
    if others is None:
        raise BillingError("illegal_transition", f"a charge of {invoice_id} is under way")
    payment_id, application_id = store.new_id("pay"), store.new_id("app")
    payment = {
        "payment_id": payment_id,
        "customer_id": row["customer_id"],
        "invoice_id": invoice_id,
        "currency": row["currency"],
        "amount_minor": amount_minor,
        "gateway_ref": bank_ref,
        "state": "captured",
        "attempt": 1,
        "created_on": today,
        "received_on": today,
        "is_spent": True,
    }
    store.insert(payments, [payment], at)
    attempt = {
        "payment_id": payment_id,
        "attempt": 1,
        "outcome": "captured",
        "attempted_at": at,
        "attempted_on": today,
    }
    store.insert(payment_attempts, [attempt], at)
    application = {
        "application_id": application_id,
        "source_kind": "payment",
        "source_id": payment_id,
        "invoice_id": invoice_id,
        "amount_minor": amount_minor,
        "applied_on": today,
    }
    store.insert(applications, [application], at)
    if amount_minor == open_minor:
        store.update(invoices, [{"invoice_id": invoice_id, "state": "paid", "paid_on": today}], at)
    about = {
        "entity_id": row["entity_id"],
        "customer_id": row["customer_id"],
        "invoice_id": invoice_id,
        "currency": row["currency"],
        "posted_on": today,
        "net_minor": amount_minor,
    }
    events = [
        {"event": "bank_transfer_received", "source_kind": "payment", "source_id": payment_id} | about,
        {"event": "credit_applied", "source_kind": "application", "source_id": application_id} | about,
    ]
    post_events(store, at, pl.DataFrame(events))
    for other in others:
        lower(store, at, other, open_minor - amount_minor)
    facts = {name: payment[name] for name in ("customer_id", "invoice_id", "amount_minor", "currency")}
    announce(store, at, "payment.captured", payment_id, facts | {"attempt": 1})
    return payment_id
