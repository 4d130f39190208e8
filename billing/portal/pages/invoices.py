"""Invoices and credit notes: found, looked at, taken along as PDF."""

from __future__ import annotations

from starlette.responses import Response

from billing.documents.pdf import to_pdf
from billing.documents.reading import document_of
from billing.portal import terms
from billing.portal.answers import download, page
from billing.portal.routes import Routes
from billing.portal.visit import ROWS, Visit
from billing.reads import portal as reads
from billing.store.store import Row
from billing.web.problems import Problem

routes = Routes()


@routes.page("/invoices")
def invoices(visit: Visit) -> Response:
    after, number = visit.query("after"), visit.query("number")
    is_open = visit.query("open") == "1"
    with visit.looking() as store:
        found = reads.invoice_list(
            store,
            visit.scope,
            number=number or None,
            is_open=is_open,
            after=(after,) if after else None,
            limit=ROWS,
        )
    return page(
        visit,
        "invoices.html",
        invoices=found.rows,
        more=found.after,
        number=number,
        is_open=is_open,
        terms=terms,
    )


@routes.page("/invoices/{invoice_id}", for_any_session=True)
def invoice(visit: Visit) -> Response:
    row = _the_invoice(visit)
    with visit.looking() as store:
        document = document_of(store, row["invoice_id"])
    return page(visit, "invoice.html", row=row, document=document, terms=terms)


@routes.page("/invoices/{invoice_id}/pdf", for_any_session=True)
def invoice_pdf(visit: Visit) -> Response:
    row = _the_invoice(visit)
    with visit.looking() as store:
        document = document_of(store, row["invoice_id"])
    return download(to_pdf(document, visit.language), f"{row['number']}.pdf", "application/pdf")


def _the_invoice(visit: Visit) -> Row:
    with visit.looking() as store:
        row = reads.invoice(store, visit.scope, invoice_id=visit.path("invoice_id"))
    if row is None:
        raise Problem("not_found")
    return row


@routes.page("/credit-notes")
def credit_notes(visit: Visit) -> Response:
    after = visit.query("after")
    with visit.looking() as store:
        found = reads.credit_note_list(store, visit.scope, after=(after,) if after else None, limit=ROWS)
    return page(visit, "credit_notes.html", notes=found.rows, more=found.after)


@routes.page("/credit-notes/{note_id}/pdf")
def credit_note_pdf(visit: Visit) -> Response:
    with visit.looking() as store:
        row = reads.credit_note(store, visit.scope, note_id=visit.path("note_id"))
        if row is None:
            raise Problem("not_found")
        document = document_of(store, row["note_id"])
    return download(to_pdf(document, visit.language), f"{row['number']}.pdf", "application/pdf")
