"""Money that comes in by bank transfer for an invoice, all of it or a part."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import bindparam, select

from billing.core.calendar import local_date
from billing.core.money import BillingError
from billing.jobs.bill_facts import OPEN_MINOR
from billing.jobs.dunning import close_case, open_cases
from billing.jobs.journal import post_events
from billing.service.acts import act, announce
from billing.store import messages
from billing.store.store import Row, Store
from billing.store.tables import applications, customers, invoices, payment_attempts, payments

_INVOICE = (
    select(invoices, customers.c.time_zone, OPEN_MINOR.label("open_minor"))
    .join(customers, customers.c.customer_id == invoices.c.customer_id)
    .where(invoices.c.invoice_id == bindparam("id"))
)


_OTHERS = select(payments).where(
    payments.c.invoice_id == bindparam("id"), payments.c.state.in_(["pending", "failed"])
)
_OTHERS_FREE = _OTHERS.with_for_update(skip_locked=True)
_PAYER = (
    select(customers.c.customer_id)
    .where(customers.c.customer_id == bindparam("id"))
    .with_for_update(read=True, key_share=True)
)
_HELD = select(invoices.c.invoice_id).where(invoices.c.invoice_id == bindparam("id")).with_for_update()
_FAILED = select(payments.c.payment_id).where(
    payments.c.customer_id == bindparam("customer"),
    payments.c.case_id == bindparam("of"),
    payments.c.state == "failed",
)


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
    others = store.rows(_OTHERS_FREE, {"id": invoice_id})
    # What `collect` holds it is charging. To wait for it with the invoice held would be a deadlock, since it
    # needs the invoice next.
    is_held = len(others) < len(store.rows(_OTHERS, {"id": invoice_id}))
    if is_held or any(other["state"] == "pending" and other["attempt"] for other in others):
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
        _lower(store, at, other, open_minor - amount_minor)
    facts = {name: payment[name] for name in ("customer_id", "invoice_id", "amount_minor", "currency")}
    announce(store, at, "payment.captured", payment_id, facts | {"attempt": 1})
    return payment_id


def _lower(store: Store, at: datetime, other: Row, left_minor: int) -> None:
    """Let a payment that waits ask for what is left alone; without a rest give it up, and close its case if
    nothing else of it is unpaid."""
    change: Row = {"payment_id": other["payment_id"]}
    if left_minor:
        store.update(payments, [change | {"amount_minor": left_minor}], at)
        return
    store.update(payments, [change | {"state": "canceled", "next_attempt_at": None}], at)
    asked = {"customer": other["customer_id"], "of": other["case_id"]}
    case = open_cases(store).get((other["customer_id"], other["currency"])) if other["case_id"] else None
    if case is None or case["case_id"] != other["case_id"] or store.rows(_FAILED, asked):
        return
    messages.announce(store, at, [close_case(store, at, case, "recovered", [other])])
