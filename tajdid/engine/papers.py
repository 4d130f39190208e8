"""Invoices, credit notes and what is chased: keyed, limited and paged, each answer by an index."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
from sqlalchemy import Select, and_, bindparam, func, select

from billing.documents.as_json import to_json
from billing.documents.document import InvoiceDocument, missing_facts
from billing.documents.pdf import to_pdf
from billing.documents.reading import document_of, find_document
from billing.reads import dunning
from billing.reads import invoices as reads
from billing.reads.scope import Scope
from billing.store.store import Store
from billing.store.tables import (
    applications,
    credit_note_lines,
    credit_notes,
    dunning_cases,
    dunning_steps,
    invoices,
    journal_entries,
    journal_lines,
    line_items,
    payment_attempts,
    payments,
    write_offs,
)
from dashboard.engine import Document, Page, Wanted
from tajdid.engine.explaining import lines_of
from tajdid.engine.opening import names_of

_COUNTS = {
    "state": pl.String,
    "currency": pl.String,
    "documents": pl.Int64,
    "open_minor": pl.Int64,
    "is_more": pl.Boolean,
}


def counts(store: Store, today: date, of: tuple[str, ...] | None) -> pl.DataFrame:
    """How many documents there are of each state, up to a bound, and what is open of those that owe."""
    return pl.DataFrame(reads.counts(store, _scope(of), today=today), schema=_COUNTS)


def _scope(of: tuple[str, ...] | None) -> Scope:
    return Scope() if of is None else Scope(frozenset(of))


# Lists.

_ROW = {
    "document_id": pl.String,
    "invoice_no": pl.String,
    "kind": pl.String,
    "customer_id": pl.String,
    "name": pl.String,
    "state": pl.String,
    "issued_on": pl.Date,
    "due_on": pl.Date,
    "currency": pl.String,
    "total_minor": pl.Int64,
    "open_minor": pl.Int64,
}


def listed(store: Store, today: date, wanted: Wanted, after: str | None, limit: int) -> Page:
    """A page of documents in the order of `billing.reads.invoices`."""
    scope, place = _scope(wanted.customers), _place(after)
    if wanted.state not in (None, "credit_note", *reads.STATES):
        return Page(pl.DataFrame(schema=_ROW), None)
    if wanted.state == "credit_note":
        found = reads.credit_notes(
            store, scope, after=place, limit=limit, run_id=wanted.run, number=wanted.number
        )
        rows = [_ISSUED | row | {"document_id": row["note_id"], "open_minor": None} for row in found.rows]
    else:
        found = reads.invoices(
            store,
            scope,
            after=place,
            limit=limit,
            today=today,
            state=wanted.state,
            run_id=wanted.run,
            number=wanted.number,
        )
        rows = [row | {"document_id": row["invoice_id"]} for row in found.rows]
    names = names_of(store, [row["customer_id"] for row in rows])
    shown = [row | {"invoice_no": row["number"], "name": names.get(row["customer_id"])} for row in rows]
    frame = pl.DataFrame([[row[name] for name in _ROW] for row in shown], schema=_ROW, orient="row")
    return Page(frame, None if found.after is None else "~".join(str(one) for one in found.after))


_ISSUED = {"kind": "credit_note", "state": "issued", "due_on": None}


def _place(after: str | None) -> tuple[object, ...] | None:
    """A place in a list as it is written in an address; the beginning where it cannot be read."""
    if not after:
        return None
    day, mark, key = after.partition("~")
    try:
        return (date.fromisoformat(day), key) if mark else (after,)
    except ValueError:
        return None


# One document.

_HEAD = select(invoices.c.customer_id, invoices.c.run_id).where(invoices.c.invoice_id == bindparam("id"))
_NOTE_HEAD = select(credit_notes.c.customer_id, credit_notes.c.run_id).where(
    credit_notes.c.note_id == bindparam("id")
)
_LINES = select(line_items).where(line_items.c.invoice_id == bindparam("id"))
_LINES_OF_NOTE = (
    select(line_items)
    .join(credit_note_lines, credit_note_lines.c.line_id == line_items.c.line_id)
    .where(credit_note_lines.c.note_id == bindparam("id"))
)


def owner(store: Store, number_or_id: str) -> tuple[str, str, str | None]:
    """Id, customer and run of a document. Raises `unknown_document`."""
    key = find_document(store, number_or_id)
    row = store.row(_HEAD, {"id": key}) or store.row(_NOTE_HEAD, {"id": key})
    assert row is not None
    return key, row["customer_id"], row["run_id"]


def whole(store: Store, number_or_id: str, language: str) -> Document:
    """A document with all that became of it. Raises `unknown_document`, `not_issued`, `sums_differ`."""
    key, customer_id, run_id = owner(store, number_or_id)
    found = document_of(store, key)
    is_note = found.kind == "credit_note"
    lines = store.rows(_LINES_OF_NOTE if is_note else _LINES, {"id": key})
    return Document(
        document_id=key,
        number=found.number,
        kind=found.kind,
        state=found.state,
        state_on=found.state_on,
        issued_on=found.issued_on,
        due_on=found.due_on,
        currency=found.currency,
        customer_id=customer_id,
        buyer=found.buyer.name,
        seller=found.seller.name,
        net_minor=found.net_minor,
        tax_minor=found.tax_minor,
        total_minor=found.total_minor,
        open_minor=found.open_minor,
        purchase_order=found.purchase_order,
        corrects=tuple(one.number for one in found.corrects),
        replaces=found.replaces,
        replaced_by=found.replaced_by,
        reason=found.reason,
        run=run_id,
        lines=lines_of(store, found, {row["line_id"]: row for row in lines}, language),
        taxes=_taxes(found),
        settlements=_settlements(found),
        payments=_frame(store, _PAYMENTS, key, _PAYMENT),
        notes=_frame(store, _NOTES_OF, key, _NOTE),
        dunning=_dunning_of(store, key),
        journal=_journal(store, key, "credit_note" if is_note else "invoice"),
        missing=tuple(missing_facts(found)),
    )


def _taxes(found: InvoiceDocument) -> pl.DataFrame:
    schema = {
        "category": pl.String,
        "country": pl.String,
        "tax_rate_ppm": pl.Int64,
        "net_minor": pl.Int64,
        "tax_minor": pl.Int64,
    }
    return pl.DataFrame(
        [[getattr(one, name) for name in schema] for one in found.taxes], schema=schema, orient="row"
    )


def _settlements(found: InvoiceDocument) -> pl.DataFrame:
    schema = {"kind": pl.String, "reference": pl.String, "on": pl.Date, "amount_minor": pl.Int64}
    return pl.DataFrame(
        [[getattr(one, name) for name in schema] for one in found.settlements], schema=schema, orient="row"
    )


_PAYMENT = {
    "payment_id": pl.String,
    "state": pl.String,
    "attempt": pl.Int64,
    "outcome": pl.String,
    "decline_code": pl.String,
    "on": pl.Date,
    "amount_minor": pl.Int64,
}
_PAYMENTS = (
    select(
        payments.c.payment_id,
        payments.c.state,
        payment_attempts.c.attempt,
        payment_attempts.c.outcome,
        payment_attempts.c.decline_code,
        func.coalesce(payment_attempts.c.attempted_on, payments.c.received_on, payments.c.created_on).label(
            "on"
        ),
        func.coalesce(payment_attempts.c.amount_minor, payments.c.amount_minor).label("amount_minor"),
    )
    .outerjoin(payment_attempts, payment_attempts.c.payment_id == payments.c.payment_id)
    .where(payments.c.invoice_id == bindparam("id"))
    .order_by(payments.c.payment_id, payment_attempts.c.attempt)
    .limit(200)
)
_NOTE = {
    "invoice_no": pl.String,
    "issued_on": pl.Date,
    "reason": pl.String,
    "net_minor": pl.Int64,
    "tax_minor": pl.Int64,
}
_NOTES_OF = (
    select(
        credit_notes.c.number.label("invoice_no"),
        credit_notes.c.issued_on,
        credit_notes.c.reason,
        func.sum(credit_note_lines.c.net_minor).label("net_minor"),
        func.sum(credit_note_lines.c.tax_minor).label("tax_minor"),
    )
    .join(credit_note_lines, credit_note_lines.c.note_id == credit_notes.c.note_id)
    .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
    .where(line_items.c.invoice_id == bindparam("id"))
    .group_by(credit_notes.c.note_id, credit_notes.c.number, credit_notes.c.issued_on, credit_notes.c.reason)
    .order_by(credit_notes.c.note_id)
    .limit(200)
)
_DUNNED = {
    "track": pl.String,
    "kind": pl.String,
    "due_on": pl.Date,
    "done_on": pl.Date,
    "outcome": pl.String,
}
_CASES_OF = (
    select(payments.c.case_id)
    .where(payments.c.invoice_id == bindparam("id"), payments.c.case_id.is_not(None))
    .distinct()
)
_CASES_WHILE_OPEN = (
    select(dunning_cases.c.case_id)
    .join(
        invoices,
        and_(
            invoices.c.customer_id == dunning_cases.c.customer_id,
            invoices.c.currency == dunning_cases.c.currency,
        ),
    )
    .where(
        invoices.c.invoice_id == bindparam("id"),
        invoices.c.collection == "terms",
        dunning_cases.c.track != "card",
        dunning_cases.c.closed_on.is_(None),
        invoices.c.state == "open",
    )
)


def _dunning_of(store: Store, key: str) -> pl.DataFrame:
    """The steps of the case that chases a charge, and of the open one that chases money on net terms."""
    ids = [
        row["case_id"] for asked in (_CASES_OF, _CASES_WHILE_OPEN) for row in store.rows(asked, {"id": key})
    ]
    steps = (
        select(dunning_cases.c.track, dunning_steps)
        .join(dunning_cases, dunning_cases.c.case_id == dunning_steps.c.case_id)
        .where(dunning_steps.c.case_id.in_(ids))
        .order_by(dunning_steps.c.due_on, dunning_steps.c.step)
        .limit(200)
    )
    rows = [
        [row["track"], row["kind"], row["due_on"], row["done_at"] and row["done_at"].date(), row["outcome"]]
        for row in (store.rows(steps) if ids else [])
    ]
    return pl.DataFrame(rows, schema=_DUNNED, orient="row")


_POSTED = {
    "posted_on": pl.Date,
    "event": pl.String,
    "account": pl.String,
    "currency": pl.String,
    "debit_minor": pl.Int64,
    "credit_minor": pl.Int64,
}
_SOURCES = (
    select(applications.c.application_id.label("id")).where(applications.c.invoice_id == bindparam("id")),
    select(payments.c.payment_id.label("id")).where(payments.c.invoice_id == bindparam("id")),
    select(write_offs.c.write_off_id.label("id")).where(write_offs.c.invoice_id == bindparam("id")),
)
_MOST_SOURCES = 500


def _journal(store: Store, key: str, kind: str) -> pl.DataFrame:
    """The postings of a document, of what paid it and of what was written off of it."""
    ids = [key]
    if kind == "invoice":
        for asked in _SOURCES:
            ids += [row["id"] for row in store.rows(asked.limit(_MOST_SOURCES), {"id": key})]
    statement = (
        select(*(journal_entries.c[name] for name in ("posted_on", "event")), journal_lines)
        .join(journal_lines, journal_lines.c.entry_id == journal_entries.c.entry_id)
        .where(journal_entries.c.source_id.in_(sorted(set(ids))))
        .order_by(journal_entries.c.posted_on, journal_entries.c.entry_id, journal_lines.c.position)
    )
    rows = [[row[name] for name in _POSTED] for row in store.rows(statement)]
    return pl.DataFrame(rows, schema=_POSTED, orient="row")


def _frame(store: Store, statement: Select[Any], key: str, schema: dict[str, Any]) -> pl.DataFrame:
    rows = [
        [int(row[name]) if name.endswith("_minor") else row[name] for name in schema]
        for row in store.rows(statement, {"id": key})
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def as_pdf(store: Store, number_or_id: str, language: str, font_folders: list[Any]) -> bytes:
    """A document as it is sent. Raises as `whole`, and `unprintable_text`."""
    return to_pdf(document_of(store, find_document(store, number_or_id)), language, font_folders=font_folders)


def as_json(store: Store, number_or_id: str) -> str:
    """A document for programs."""
    return to_json(document_of(store, find_document(store, number_or_id)))


# What is chased.

_QUEUE = {
    "customer_id": pl.String,
    "name": pl.String,
    "currency": pl.String,
    "track": pl.String,
    "state": pl.String,
    "opened_on": pl.Date,
    "last_step": pl.String,
    "next_step": pl.String,
    "next_on": pl.Date,
    "open_minor": pl.Int64,
}


def queue(store: Store, today: date, of: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
    """Open cases, the next act first, with what is overdue of each."""
    rows = dunning.queue(store, _scope(of), today=today, limit=limit)
    return pl.DataFrame([[row[name] for name in _QUEUE] for row in rows], schema=_QUEUE, orient="row")


_AHEAD: dict[str, Any] = {
    "customer_id": pl.String,
    "name": pl.String,
    "invoice_no": pl.String,
    "currency": pl.String,
    "amount_minor": pl.Int64,
    "attempt": pl.Int64,
    "failures": pl.Int64,
    "decline_code": pl.String,
    "next_at": pl.Datetime("us", "UTC"),
}


def tried_again(store: Store, of: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
    """Payments with an attempt ahead, the next first."""
    found = dunning.tried_again(store, _scope(of), limit=limit)
    rows = [row | {"invoice_no": row["number"], "next_at": row["next_attempt_at"]} for row in found.rows]
    return pl.DataFrame([[row[name] for name in _AHEAD] for row in rows], schema=_AHEAD, orient="row")
