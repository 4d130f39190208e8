"""Invoices and credit notes: found, shown as they are sent, paid, disputed, and corrected by the merchant."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import datetime
from threading import BoundedSemaphore
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import BackgroundTasks, Query, Response

from billing.api.performing import Act
from billing.api.resources import listed, located, merchants, owned, resource
from billing.api.route import REHEARSED, Paging, Routes
from billing.api.shapes import money as shapes
from billing.api.shapes.base import Day, Id
from billing.core.money import BillingError
from billing.documents.as_json import to_json
from billing.documents.document import InvoiceDocument
from billing.documents.pdf import to_pdf
from billing.jobs.collect import charge_now
from billing.reads import invoices as reads
from billing.reads import payments as payment_reads
from billing.reads.page import Page
from billing.service.credit_notes import issue_credit_note
from billing.service.drafts import drafts as drafts_of
from billing.service.invoice_disputes import close_invoice_dispute, dispute_invoice
from billing.service.payment_methods import request_payment
from billing.service.voids import void_invoice
from billing.service.write_offs import reinstate, write_off
from billing.store.store import Row, Store
from billing.web.context import Context

routes = Routes("Invoices", "invoices")
logger = logging.getLogger(__name__)
_SUBJECT = "unknown_invoice"
_NOTE = "unknown_document"
_DISPUTE = "unknown_dispute"
Locale = Literal["en", "ar"]


# Invoices.


@routes.get("/invoices", answer=shapes.Invoice, is_list=True)
def invoices(
    context: Context,
    paging: Paging,
    customer_id: Id | None = None,
    state: shapes.InvoiceState | None = None,
    number: Id | None = None,
    issued_from: Day | None = None,
    issued_until: Day | None = None,
    due_before: Day | None = None,
    run_id: Id | None = None,
    po_id: Id | None = None,
) -> Page:
    """Issued invoices: of a state by the day they are due, while they are not too many; of days of issue
    ([from, until)) by these; others the newest first."""
    with context.looking() as store:
        found = reads.invoices(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            today=context.now().date(),
            customer_id=customer_id,
            state=state,
            number=number,
            issued_from=issued_from,
            issued_until=issued_until,
            due_before=due_before,
            run_id=run_id,
            po_id=po_id,
        )
    return listed("invoice", found)


@routes.get("/invoices/drafts", answer=shapes.Drafts, responses=REHEARSED)
def drafts(context: Context, customer_id: Id, up_to: Day | None = None) -> dict[str, Any]:
    """What is due of a customer up to a day and waits for its days of grace, as it stands now."""
    owned(context, customer_id)
    with context.rehearsing() as (store, at):
        found = drafts_of(store, at, up_to=up_to or at.date(), customer_id=customer_id)
    frames = {"documents": found.documents, "lines": found.lines, "failures": found.failures}
    return {"object": "drafts"} | {name: frame.to_dicts() for name, frame in frames.items()}


@routes.get("/invoice-sums", answer=shapes.Sums)
def sums(
    context: Context, customer_id: Annotated[list[Id], Query(min_length=1, max_length=200)]
) -> dict[str, Any]:
    """What customers owe, by customer and currency: open, and of that past due."""
    with context.looking() as store:
        found = reads.sums_of(store, context.scope, customer_ids=customer_id, today=context.now().date())
    return {"object": "invoice_sums", "data": [{"object": "invoice_sum"} | row for row in found]}


@routes.get(
    "/invoices/{invoice_id}",
    answer=shapes.Invoice,
    subject=_SUBJECT,
    expands=("lines", "payments", "applications", "credit_notes", "disputes"),
)
def invoice(context: Context, invoice_id: Id) -> dict[str, Any] | None:
    """One invoice, by id or number. What is expanded are the first 200 of each."""
    with context.looking() as store:
        row = reads.invoice(store, context.scope, invoice_id=invoice_id)
        if row is None:
            return None
        more = {name: _of_invoice(store, context, name, row["invoice_id"]) for name in context.expand}
    return {"object": "invoice"} | row | more


def _of_invoice(store: Store, context: Context, name: str, invoice_id: str) -> list[Row]:
    """Something of an invoice, to be shown with it."""
    of: Any = {"invoice_id": invoice_id, "limit": 200}
    if name == "lines":
        kind, found = "line_item", reads.lines(store, context.scope, **of)
    elif name == "payments":
        kind, found = "payment", payment_reads.payments(store, context.scope, **of)
    elif name == "applications":
        kind, found = "application", payment_reads.applications(store, context.scope, **of)
    elif name == "credit_notes":
        kind, found = "credit_note", reads.credit_notes(store, context.scope, **of)
    else:
        kind, found = "invoice_dispute", reads.invoice_disputes(store, context.scope, **of)
    return list(listed(kind, found).rows)


@routes.get("/invoices/{invoice_id}/lines", answer=shapes.LineItem, subject=_SUBJECT, is_list=True)
def lines(context: Context, paging: Paging, invoice_id: Id) -> Page:
    """The lines of an invoice."""
    with context.looking() as store:
        key = _own(store, context, invoice_id)["invoice_id"]
        found = reads.lines(store, context.scope, invoice_id=key, after=paging.after, limit=paging.limit)
    return listed("line_item", found)


@routes.get("/invoices/{invoice_id}/document", answer=shapes.WholeDocument, subject=_SUBJECT)
def invoice_document(context: Context, invoice_id: Id) -> Response:
    """An invoice as it is sent, with every fact on it."""
    return _as_json(_document(context, invoice_id, "invoice", _SUBJECT))


@routes.get(
    "/invoices/{invoice_id}/pdf", subject=_SUBJECT, responses={200: {"content": {"application/pdf": {}}}}
)
def invoice_pdf(context: Context, invoice_id: Id, locale: Locale | None = None) -> Response:
    """An invoice as it is sent, in the customer's language unless another is asked for."""
    return _as_pdf(_document(context, invoice_id, "invoice", _SUBJECT), locale)


def _own(store: Store, context: Context, invoice_id: str) -> Row:
    """An invoice of the caller, by id or number. Raises `unknown_invoice`."""
    row = reads.invoice(store, context.scope, invoice_id=invoice_id)
    if row is None:
        raise BillingError("unknown_invoice", invoice_id)
    return row


def _document(context: Context, number_or_id: str, kind: str, subject: str) -> InvoiceDocument:
    with context.looking() as store:
        found = reads.document(store, context.scope, number_or_id=number_or_id)
    if found is None or found.kind != kind:
        raise BillingError(subject, number_or_id)
    return found


def _as_json(document: InvoiceDocument) -> Response:
    return Response(to_json(document), media_type="application/json")


_PRINTING = BoundedSemaphore(1)
"""Documents are set one at a time, so that other requests keep a processor."""


def _as_pdf(document: InvoiceDocument, locale: str | None) -> Response:
    with _PRINTING:
        data = to_pdf(document, locale)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", document.number)
    named = f"attachment; filename=\"{plain}.pdf\"; filename*=UTF-8''{quote(document.number, safe='')}.pdf"
    return Response(data, media_type="application/pdf", headers={"Content-Disposition": named})


# What is done with an invoice.


def _shown(store: Store, context: Context, invoice_id: str) -> dict[str, Any]:
    return {"object": "invoice"} | _own(store, context, invoice_id)


def _done(context: Context, invoice_id: str, act: Callable[[Store, datetime, str], object]) -> Act:
    """An act of the merchant's on an invoice, answered by the invoice."""
    merchants(context)
    row = _known(context, invoice_id)

    def work(store: Store, at: datetime) -> object:
        act(store, at, row["invoice_id"])
        return _shown(store, context, row["invoice_id"])

    return Act(work, (row["customer_id"],), current=lambda store: _shown(store, context, row["invoice_id"]))


def _known(context: Context, invoice_id: str) -> Row:
    with context.looking() as store:
        return _own(store, context, invoice_id)


@routes.post(
    "/invoices/{invoice_id}/pay",
    answer=shapes.Payment,
    status=202,
    subject=_SUBJECT,
    scope="payments:write",
    needs_key=True,
)
def pay(context: Context, invoice_id: Id, body: shapes.Pay, after: BackgroundTasks) -> Act:
    """Charge what is open of an invoice now. The answer is the payment, pending; what becomes of it is in
    the payment, and told by the events `payment.captured` and `payment.failed`. An attempt that fails leaves
    the schedule of retries as it was."""
    row = _known(context, invoice_id)
    asked: list[str] = []

    def work(store: Store, at: datetime) -> object:
        payment_id = request_payment(store, at, invoice_id=row["invoice_id"], method_id=body.method_id)
        asked[:] = [payment_id]
        return resource("payment", payment_reads.payment(store, context.scope, payment_id=payment_id))

    after.add_task(_charge, context, asked)
    return Act(work, (row["customer_id"],), 202, located("payments", "payment_id"))


def _charge(context: Context, asked: list[str]) -> None:
    """Ask the gateway, once the answer is on its way; what fails here the next `collect` asks."""
    for payment_id in asked:
        try:
            with context.services.stores.write(context.caller.actor) as store:
                charge_now(store, context.services.gateway, context.now(), payment_id)
        except Exception:
            logger.exception("the charge of %s is left to the next collect", payment_id)


@routes.post("/invoices/{invoice_id}/void", answer=shapes.Invoice, subject=_SUBJECT, needs_key=True)
def void(context: Context, invoice_id: Id, body: shapes.WithReason) -> Act:
    """Take back a whole invoice that nothing has paid."""
    return _done(
        context,
        invoice_id,
        lambda store, at, key: void_invoice(store, at, invoice_id=key, reason=body.reason),
    )


@routes.post("/invoices/{invoice_id}/write-off", answer=shapes.Invoice, subject=_SUBJECT, needs_key=True)
def give_up(context: Context, invoice_id: Id, body: shapes.MaybeReason) -> Act:
    """Give up what is open of an invoice."""
    return _done(
        context, invoice_id, lambda store, at, key: write_off(store, at, invoice_id=key, reason=body.reason)
    )


@routes.post("/invoices/{invoice_id}/reinstate", answer=shapes.Invoice, subject=_SUBJECT, needs_key=True)
def take_up_again(context: Context, invoice_id: Id, body: shapes.MaybeReason) -> Act:
    """Take a write-off back."""
    return _done(
        context, invoice_id, lambda store, at, key: reinstate(store, at, invoice_id=key, reason=body.reason)
    )


@routes.post("/invoices/{invoice_id}/dispute", answer=shapes.InvoiceDispute, status=201, subject=_SUBJECT)
def dispute(context: Context, invoice_id: Id, body: shapes.NewInvoiceDispute) -> Act:
    """Dispute an open invoice, or a line of it: that part is not chased meanwhile."""
    row = _known(context, invoice_id)

    def work(store: Store, at: datetime) -> object:
        dispute_id = dispute_invoice(store, at, invoice_id=row["invoice_id"], **body.given())
        return _dispute_shown(store, context, dispute_id)

    return Act(work, (row["customer_id"],), 201, located("invoice-disputes", "dispute_id"))


# Disputes of invoices.


def _dispute_shown(store: Store, context: Context, dispute_id: str) -> dict[str, Any] | None:
    return resource("invoice_dispute", reads.invoice_dispute(store, context.scope, dispute_id=dispute_id))


@routes.get("/invoice-disputes", answer=shapes.InvoiceDispute, is_list=True)
def invoice_disputes(
    context: Context,
    paging: Paging,
    invoice_id: Id | None = None,
    customer_id: Id | None = None,
    is_open: bool | None = None,
) -> Page:
    """Disputes of invoices, the newest first."""
    with context.looking() as store:
        found = reads.invoice_disputes(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            invoice_id=invoice_id,
            customer_id=customer_id,
            is_open=is_open,
        )
    return listed("invoice_dispute", found)


@routes.get("/invoice-disputes/{invoice_dispute_id}", answer=shapes.InvoiceDispute, subject=_DISPUTE)
def invoice_dispute(context: Context, invoice_dispute_id: Id) -> dict[str, Any] | None:
    """One dispute of an invoice."""
    with context.looking() as store:
        return _dispute_shown(store, context, invoice_dispute_id)


@routes.post(
    "/invoice-disputes/{invoice_dispute_id}/close",
    answer=shapes.InvoiceDispute,
    subject=_DISPUTE,
    needs_key=True,
)
def close_dispute(context: Context, invoice_dispute_id: Id, body: shapes.DisputeOutcome) -> Act:
    """Accept a dispute, so that its amount is credited, or reject it. `note_id`: the note that credits it."""
    merchants(context)

    def work(store: Store, at: datetime) -> object:
        note_id = close_invoice_dispute(store, at, dispute_id=invoice_dispute_id, outcome=body.outcome)
        shown = _dispute_shown(store, context, invoice_dispute_id)
        return None if shown is None else shown | {"note_id": note_id}

    return Act(work)


# Credit notes.


@routes.get("/credit-notes", answer=shapes.CreditNote, is_list=True)
def credit_notes(
    context: Context,
    paging: Paging,
    customer_id: Id | None = None,
    invoice_id: Id | None = None,
    number: Id | None = None,
    run_id: Id | None = None,
) -> Page:
    """Credit notes, the newest first. `invoice_id`: those that correct a line of it."""
    with context.looking() as store:
        found = reads.credit_notes(
            store,
            context.scope,
            after=paging.after,
            limit=paging.limit,
            customer_id=customer_id,
            invoice_id=invoice_id,
            number=number,
            run_id=run_id,
        )
    return listed("credit_note", found)


@routes.get("/credit-notes/{note_id}", answer=shapes.CreditNote, subject=_NOTE)
def credit_note(context: Context, note_id: Id) -> dict[str, Any] | None:
    """One credit note, by id or number."""
    with context.looking() as store:
        return resource("credit_note", reads.credit_note(store, context.scope, note_id=note_id))


@routes.get("/credit-notes/{note_id}/document", answer=shapes.WholeDocument, subject=_NOTE)
def note_document(context: Context, note_id: Id) -> Response:
    """A credit note as it is sent, with every fact on it."""
    return _as_json(_document(context, note_id, "credit_note", _NOTE))


@routes.get(
    "/credit-notes/{note_id}/pdf", subject=_NOTE, responses={200: {"content": {"application/pdf": {}}}}
)
def note_pdf(context: Context, note_id: Id, locale: Locale | None = None) -> Response:
    """A credit note as it is sent, in the customer's language unless another is asked for."""
    return _as_pdf(_document(context, note_id, "credit_note", _NOTE), locale)


@routes.post("/credit-notes", answer=shapes.CreditNote, status=201, needs_key=True)
def credit(context: Context, body: shapes.NewCreditNote) -> Act:
    """Credit amounts of lines, or all that is left of an invoice."""
    merchants(context)
    given = body.given()
    if body.lines is not None:
        given["lines"] = [(line.line_id, line.net_minor) for line in body.lines]

    def work(store: Store, at: datetime) -> object:
        note_id = issue_credit_note(store, at, **given)
        return resource("credit_note", reads.credit_note(store, context.scope, note_id=note_id))

    return Act(work, status=201, location=located("credit-notes", "note_id"))
