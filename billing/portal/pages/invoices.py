"""Invoices and credit notes: found, looked at, taken along as PDF."""

from __future__ import annotations

from starlette.responses import Response

from billing.core.money import BillingError
from billing.documents.pdf import to_pdf
from billing.documents.reading import document_of
from billing.portal import terms
from billing.portal.answers import download, go, page
from billing.portal.forms import charge
from billing.portal.routes import Routes
from billing.portal.visit import ROWS, Visit
from billing.reads import payments as money
from billing.reads import portal as reads
from billing.store.store import Row
from billing.web.problems import Problem

routes = Routes()


@routes.page("/invoices", also=("pay",))
def invoices(visit: Visit) -> Response:
    if visit.session.target is not None:  # a link to one invoice opens no list
        raise Problem("task_closed", str(visit.session.task))
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
        names = reads.names(store, visit.scope, [row["customer_id"] for row in found.rows])
    return page(
        visit,
        "invoices.html",
        names=names,
        has_children=len(visit.scope.ids or ()) > 1,
        invoices=found.rows,
        more=found.after,
        number=number,
        is_open=is_open,
        terms=terms,
    )


@routes.page("/invoices/{invoice_id}", also=("pay",))
def invoice(visit: Visit) -> Response:
    return _shown(visit, None)


def _shown(visit: Visit, problem: str | None) -> Response:
    row = _the_invoice(visit)
    with visit.looking() as store:
        document = document_of(store, row["invoice_id"])
        charges = money.payments(store, visit.scope, invoice_id=row["invoice_id"], limit=1).rows
        methods = money.methods(
            store, visit.scope, customer_id=row["customer_id"], on=visit.today, limit=100
        ).rows
    return page(
        visit,
        "invoice.html",
        row=row,
        document=document,
        charge=charges[0] if charges else None,
        method=next((one for one in methods if one["is_default"]), None),
        problem=problem,
        terms=terms,
    )


@routes.deed("/invoices/{invoice_id}/pay", task="pay")
def pay(visit: Visit) -> Response:
    """Charge an invoice now. Asked twice, the charge that is under way is not asked for again."""
    row = _the_invoice(visit)
    invoice_id = str(row["invoice_id"])
    try:
        charge(visit, invoice_id)
    except BillingError as refused:
        answer = _shown(visit, terms.refusal(visit.words, refused.code))
        answer.status_code = 422
        return answer
    return go(f"/invoices/{invoice_id}")


@routes.page("/invoices/{invoice_id}/pdf", also=("pay",))
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
