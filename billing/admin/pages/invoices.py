"""Invoices and credit notes: listed by state, customer or number, and one as it was sent and paid."""

from __future__ import annotations

import re

from starlette.responses import Response

from billing.admin import naming
from billing.admin.acts import ALL
from billing.admin.looks import Ask, Cell, Form, Link, Screen, Section, Table
from billing.admin.visit import PAGE_ROWS, Visit, path_to
from billing.documents.document import InvoiceDocument
from billing.documents.pdf import to_pdf
from billing.reads import customers, invoices, payments
from billing.reads.page import Page
from billing.store.store import Row, Store
from billing.web.problems import Problem


def listed(visit: Visit) -> Screen:
    """All invoices, or those that are looked for."""
    _ = visit.words.gettext
    number, customer_id = visit.asked("number"), visit.asked("customer")
    state = visit.one_of("state", invoices.STATES)
    asked = {"number": number, "customer": customer_id, "state": state}
    after = visit.place("invoices", **asked)
    with visit.context.looking() as store:
        found = invoices.invoices(
            store,
            ALL,
            after=after,
            limit=PAGE_ROWS,
            today=visit.today(),
            number=number,
            customer_id=customer_id,
            state=state,
        )
        table = invoice_rows(visit, store, found, visit.following(found, "invoices", **asked))
    options = [("", _("All")), *((one, naming.state_name(visit.words, one)) for one in invoices.STATES)]
    filters = Form(
        path_to("invoices"),
        _("Show"),
        [
            Ask("number", _("Number"), number or "", "search", is_code=True),
            Ask("customer", _("Customer id"), customer_id or "", "search", is_code=True),
            Ask("state", _("State"), state or "", "choice", options),
        ],
        "get",
    )
    return Screen(_("Invoices"), [Section("", table=table)], filters=filters, current="invoices")


def invoice_rows(visit: Visit, store: Store, found: Page, more: str | None) -> Table:
    """Some invoices as a table; `more` leads on where there are others."""
    _ = visit.words.gettext
    names = _names(store, found)
    rows = [
        [
            visit.code(row["number"], path_to("invoices", row["invoice_id"])),
            visit.data(names.get(row["customer_id"]), path_to("customers", row["customer_id"])),
            naming.state(visit.words, _state(row, visit)),
            visit.day(row["issued_on"]),
            visit.day(row["due_on"]),
            visit.money(row["total_minor"], row["currency"]),
            visit.money(row["open_minor"], row["currency"]),
        ]
        for row in found.rows
    ]
    columns = [_("Number"), _("Customer"), _("State"), _("Issued"), _("Due"), _("Total"), _("Open")]
    return Table(
        _("Invoices"),
        columns,
        rows,
        _("There is no such invoice."),
        frozenset({5, 6}),
        more if found.after is not None else None,
    )


def _names(store: Store, found: Page) -> dict[str, str]:
    ids = {row["customer_id"] for row in found.rows}
    rows = [customers.customer_of(store, ALL, customer_id=one) for one in sorted(ids)]
    return {row["customer_id"]: row["name"] for row in rows if row is not None}


def _state(row: Row, visit: Visit) -> str:
    is_late = row["state"] == "open" and row["due_on"] is not None and row["due_on"] < visit.today()
    return "past_due" if is_late else str(row["state"])


def one(visit: Visit) -> Screen:
    """An invoice or a credit note as it was sent."""
    _ = visit.words.gettext
    key = visit.key()
    with visit.context.looking() as store:
        found = invoices.document(store, ALL, number_or_id=key)
        if found is None:
            raise Problem("not_found")
        row = invoices.invoice(store, ALL, invoice_id=key) if found.kind != "credit_note" else None
        sections = [_head(visit, found, row), _lines(visit, found), _settled(visit, found)]
        if row is not None:
            sections.append(_payments(visit, store, row))
    links = [Link(path_to("invoices", key, "pdf"), _("PDF"))]
    return Screen(
        found.number,
        sections,
        links=links,
        back=Link(path_to("invoices"), _("Invoices")),
        current="invoices",
    )


def _head(visit: Visit, found: InvoiceDocument, row: Row | None) -> Section:
    _ = visit.words.gettext
    currency = found.currency
    facts = [
        (_("Kind"), Cell(naming.kind(visit.words, "credit_note" if row is None else "invoice"))),
        (
            _("Customer"),
            visit.data(found.buyer.name, path_to("customers", row["customer_id"]) if row else None),
        ),
        (_("State"), naming.state(visit.words, _state(row, visit) if row else found.state)),
        (_("Issued"), visit.day(found.issued_on)),
        (_("Due"), visit.day(found.due_on)),
        (_("Net"), visit.money(found.net_minor, currency)),
        (_("Tax"), visit.money(found.tax_minor, currency)),
        (_("Total"), visit.money(found.total_minor, currency)),
    ]
    if row is not None:
        facts.append((_("Open"), visit.money(row["open_minor"], currency)))
    return Section(_("About"), facts, links=_acts(visit, row))


def _acts(visit: Visit, row: Row | None) -> list[Link]:
    _ = visit.words.gettext
    if row is None or not visit.staff.may_manage:
        return []
    key = row["invoice_id"]
    if row["state"] == "open":
        return [
            Link(path_to("acts", "void", key), _("Void it…"), "danger"),
            Link(path_to("acts", "write-off", key), _("Write it off…"), "danger"),
        ]
    if row["state"] == "uncollectible":
        return [Link(path_to("acts", "reinstate", key), _("Take the write-off back…"), "danger")]
    return []


def _lines(visit: Visit, found: InvoiceDocument) -> Section:
    _ = visit.words.gettext
    rows = [
        [
            visit.data(line.description),
            Cell(visit.words.period(line.service_start, line.service_end)),
            Cell(visit.words.decimal(line.quantity) if line.quantity is not None else "–"),
            visit.money(line.net_minor, found.currency),
            visit.money(line.tax_minor, found.currency),
        ]
        for line in found.lines
    ]
    columns = [_("What"), _("Period"), _("Quantity"), _("Net"), _("Tax")]
    table = Table(_("Lines as they were sent"), columns, rows, _("There are no lines."), frozenset({2, 3, 4}))
    return Section(_("Lines"), table=table)


def _settled(visit: Visit, found: InvoiceDocument) -> Section:
    _ = visit.words.gettext
    rows = [
        [
            Cell(naming.kind(visit.words, one.kind)),
            visit.code(one.reference),
            visit.day(one.on),
            visit.money(one.amount_minor, found.currency),
        ]
        for one in found.settlements
    ]
    columns = [_("Kind"), _("Reference"), _("Day"), _("Amount")]
    table = Table(_("What paid it, or what it paid"), columns, rows, _("Nothing yet."), frozenset({3}))
    return Section(_("Settled"), table=table)


def _payments(visit: Visit, store: Store, row: Row) -> Section:
    _ = visit.words.gettext
    found = payments.payments(store, ALL, limit=PAGE_ROWS, invoice_id=row["invoice_id"])
    rows = [
        [
            visit.code(one["payment_id"]),
            naming.state(visit.words, one["state"]),
            Cell(visit.words.decimal(one["attempt"])),
            visit.money(one["amount_minor"], one["currency"]),
            Cell(_("Give back…"), path_to("acts", "refund", one["payment_id"]))
            if visit.staff.may_manage and one["state"] == "captured"
            else Cell(""),
        ]
        for one in found.rows
    ]
    columns = [_("Payment"), _("State"), _("Attempts"), _("Amount"), _("Act")]
    table = Table(_("Payments of it"), columns, rows, _("It was not charged."), frozenset({2, 3}))
    return Section(_("Payments"), table=table)


_PLAIN = re.compile(r"[^A-Za-z0-9_-]+")


def pdf(visit: Visit) -> Response:
    """The document as a PDF, in the language of its buyer."""
    with visit.context.looking() as store:
        found = invoices.document(store, ALL, number_or_id=visit.key())
    if found is None:
        raise Problem("not_found")
    name = _PLAIN.sub("-", found.number).strip("-") or "document"
    headers = {"Content-Disposition": f'inline; filename="{name}.pdf"'}
    return Response(to_pdf(found), media_type="application/pdf", headers=headers)
