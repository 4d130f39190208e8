"""Invoices, credit notes and what is chased: keyed, limited and paged, each answer by an index."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl
from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal, null, or_, select

from billing.core.dunning import LAST_DAY, TERMS_STEPS
from billing.documents.as_json import to_json
from billing.documents.document import InvoiceDocument, missing_facts
from billing.documents.pdf import to_pdf
from billing.documents.reading import document_of, find_document
from billing.store.debts import OPEN_MINOR
from billing.store.store import Row, Store
from billing.store.tables import (
    applications,
    credit_note_lines,
    credit_notes,
    customers,
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
from tajdid.engine.runs import ids_of_run

COUNTED = 10_000
"""Beyond so many documents of a state nobody goes on counting them for a look."""
STATES = ("open", "past_due", "uncollectible", "paid", "void")
WITH_OPEN_AMOUNT = ("open", "past_due", "uncollectible")

_OPEN = {
    "open": OPEN_MINOR,
    "past_due": OPEN_MINOR,
    "uncollectible": invoices.c.written_off_minor - invoices.c.recovered_minor,
}


def _in_state(state: str | None, today: date, *, by_index: bool = True) -> list[ColumnElement[bool]]:
    """Invoices of a state. Without `by_index` the state is no way to find them: where most are of it, the
    order of their ids finds a page sooner than all of them put in order."""
    if state is None:
        return [invoices.c.number.is_not(None)]
    held: Any = invoices.c.state if by_index else func.coalesce(invoices.c.state, "")
    if state == "past_due":
        return [held == "open", invoices.c.due_on < today]
    return [held == state, invoices.c.number.is_not(None)]


def _of(column: Any, ids: tuple[str, ...] | None) -> list[ColumnElement[bool]]:
    return [] if ids is None else [column.in_(ids)]


_COUNTS = {
    "state": pl.String,
    "currency": pl.String,
    "documents": pl.Int64,
    "open_minor": pl.Int64,
    "is_more": pl.Boolean,
}


def counts(store: Store, today: date, of: tuple[str, ...] | None) -> pl.DataFrame:
    """How many documents there are of each state, up to a bound, and what is open of those that owe."""
    found: list[tuple[Any, ...]] = []
    for state in STATES:
        own = (*_in_state(state, today), *_of(invoices.c.customer_id, of))
        some = select(invoices.c.invoice_id).where(*own).limit(COUNTED + 1).subquery()
        count = _count(store, some)
        if count > COUNTED or state not in WITH_OPEN_AMOUNT or not count:
            found.append((state, None, min(count, COUNTED), None, count > COUNTED))
            continue
        sums = select(
            invoices.c.currency, func.count().label("documents"), func.sum(_OPEN[state]).label("open_minor")
        )
        rows = store.rows(sums.where(*own).group_by(invoices.c.currency).order_by(invoices.c.currency))
        found += [
            (state, row["currency"], row["documents"], int(row["open_minor"] or 0), False) for row in rows
        ]
    own_notes = _of(credit_notes.c.customer_id, of)
    some = select(credit_notes.c.note_id).where(*own_notes).limit(COUNTED + 1).subquery()
    count = _count(store, some)
    found.append(("credit_note", None, min(count, COUNTED), None, count > COUNTED))
    return pl.DataFrame(found, schema=_COUNTS, orient="row")


def _count(store: Store, some: Any) -> int:
    row = store.row(select(func.count().label("found")).select_from(some))
    return int(row["found"]) if row else 0


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
_INVOICES = select(
    invoices.c.invoice_id.label("document_id"),
    invoices.c.number.label("invoice_no"),
    invoices.c.kind,
    invoices.c.customer_id,
    invoices.c.state,
    invoices.c.issued_on,
    invoices.c.due_on,
    invoices.c.currency,
    invoices.c.total_minor,
    OPEN_MINOR.label("left_minor"),
    invoices.c.written_off_minor,
    invoices.c.recovered_minor,
)
_NOTES = select(
    credit_notes.c.note_id.label("document_id"),
    credit_notes.c.number.label("invoice_no"),
    literal("credit_note").label("kind"),
    credit_notes.c.customer_id,
    literal("issued").label("state"),
    credit_notes.c.issued_on,
    null().label("due_on"),
    credit_notes.c.currency,
    credit_notes.c.total_minor,
    null().label("left_minor"),
)


def listed(store: Store, today: date, wanted: Wanted, after: str | None, limit: int) -> Page:
    """A page of documents: first which they are, then what is told of these.

    Those of a state come by the day they are due (what is past due from the oldest on), as long as there are
    not too many to be put in order; all others from the newest on.
    """
    is_note = wanted.state == "credit_note"
    by_due = _is_by_due_day(store, today, wanted, after)
    places = store.rows(_places(store, today, wanted, after, by_due).limit(limit + 1))
    more, places = len(places) > limit, places[:limit]
    if not places:
        return Page(pl.DataFrame(schema=_ROW), None)
    ids = [place["id"] for place in places]
    told = _NOTES.where(credit_notes.c.note_id.in_(ids)) if is_note else _INVOICES.where(_KEY.in_(ids))
    rows = {row["document_id"]: row for row in store.rows(told)}
    names = names_of(store, [row["customer_id"] for row in rows.values()])
    frame = pl.DataFrame([_shown(rows[one], names) for one in ids], schema=_ROW, orient="row")
    last = places[-1]
    following = f"{last['due_on']}~{last['id']}" if by_due else str(last["id"])
    return Page(frame, following if more else None)


def _shown(row: Row, names: dict[str, str]) -> list[Any]:
    one = dict(row) | {"name": names.get(row["customer_id"]), "open_minor": _left(row)}
    return [one[name] for name in _ROW]


def _left(row: Row) -> int | None:
    if row["state"] == "open":
        return int(row["left_minor"])
    if row["state"] == "uncollectible":
        return int(row["written_off_minor"] - row["recovered_minor"])
    return 0 if row["state"] in ("paid", "void") else None


_KEY = invoices.c.invoice_id


def _is_by_due_day(store: Store, today: date, wanted: Wanted, after: str | None) -> bool:
    """Whether the documents are put in the order of the days they are due; a place says which order it is
    of."""
    if wanted.state in (None, "credit_note") or wanted.run is not None or wanted.number is not None:
        return False
    if after is not None:
        return "~" in after
    own = (*_in_state(wanted.state, today), *_of(invoices.c.customer_id, wanted.customers))
    return _count(store, select(_KEY).where(*own).limit(COUNTED + 1).subquery()) <= COUNTED


def _places(store: Store, today: date, wanted: Wanted, after: str | None, by_due: bool) -> Select[Any]:
    """Ids of documents (`id`), and when they are due."""
    if wanted.state == "credit_note":
        key, table, prefix = credit_notes.c.note_id, credit_notes, "note"
        places = select(key.label("id"), null().label("due_on"))
        conditions: list[ColumnElement[bool]] = [credit_notes.c.number.is_not(None)]
    else:
        key, table, prefix = _KEY, invoices, "inv"
        places = select(key.label("id"), invoices.c.due_on)
        conditions = _in_state(wanted.state, today, by_index=by_due)
    conditions += _of(table.c.customer_id, wanted.customers)
    if wanted.run is not None:
        conditions += [ids_of_run(store, wanted.run, prefix, key), table.c.run_id == wanted.run]
    if wanted.number is not None:
        conditions.append(table.c.number == wanted.number)
    if not by_due:
        before = [key < after] if after else []
        return places.where(*conditions, *before).order_by(key.desc())
    due, rises = invoices.c.due_on, wanted.state == "past_due"
    order = (due.asc(), key.asc()) if rises else (due.desc(), key.desc())
    return places.where(*conditions, *_beyond(after, rises)).order_by(*order)


def _beyond(after: str | None, rises: bool) -> list[ColumnElement[bool]]:
    """What comes behind a place in the order of days due; nothing is left out where it cannot be read."""
    day_text, _, key = (after or "").partition("~")
    try:
        day = date.fromisoformat(day_text)
    except ValueError:
        return []
    due, own = invoices.c.due_on, invoices.c.invoice_id
    if rises:
        return [due >= day, or_(due > day, own > key)]
    return [due <= day, or_(due < day, own < key)]


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

CASES = 5_000
"""So many open cases are put in order; of more, those of the first customers."""
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
_CASES = (
    select(dunning_cases)
    .where(dunning_cases.c.closed_on.is_(None))
    .order_by(dunning_cases.c.customer_id, dunning_cases.c.currency, dunning_cases.c.track)
    .limit(CASES)
)


def queue(store: Store, today: date, of: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
    """Open cases, the next act first, with what is overdue of each."""
    cases = store.rows(_CASES.where(*_of(dunning_cases.c.customer_id, of)))
    steps = _steps_by_case(store, [case["case_id"] for case in cases])
    rows = [case | _next_act(case, steps.get(case["case_id"], [])) for case in cases]
    rows.sort(key=lambda row: (row["next_on"] or date.max, row["customer_id"]))
    rows = rows[:limit]
    ids = [row["customer_id"] for row in rows]
    names, overdue = names_of(store, ids), _overdue(store, today, ids)
    shown = [
        row
        | {
            "name": names.get(row["customer_id"]),
            "open_minor": overdue.get((row["customer_id"], row["currency"]), 0),
        }
        for row in rows
    ]
    return pl.DataFrame([[row[name] for name in _QUEUE] for row in shown], schema=_QUEUE, orient="row")


def _steps_by_case(store: Store, ids: list[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for first in range(0, len(ids), 500):
        part = ids[first : first + 500]
        asked = (
            select(dunning_steps)
            .where(dunning_steps.c.case_id.in_(part))
            .order_by(dunning_steps.c.case_id, dunning_steps.c.step)
        )
        for row in store.rows(asked):
            found.setdefault(row["case_id"], []).append(row)
    return found


def _next_act(case: Row, steps: list[Row]) -> dict[str, Any]:
    """The last step that was made and the next one: one that is written ahead, of net terms the next by its
    schedule, of a card that waits for the customer the day the case ends."""
    made = [step for step in steps if step["done_at"] is not None]
    ahead = [step for step in steps if step["done_at"] is None]
    told = {"last_step": made[-1]["kind"] if made else None, "next_step": None, "next_on": None}
    if ahead:
        return told | {"next_step": ahead[0]["kind"], "next_on": ahead[0]["due_on"]}
    if case["track"] == "terms":
        fell_due = case["deadline_on"] - timedelta(days=LAST_DAY)
        kinds = {step["kind"] for step in made}
        for step in TERMS_STEPS:
            if step.kind not in kinds:
                return told | {"next_step": step.kind, "next_on": fell_due + timedelta(days=step.days)}
        return told
    if case["track"] == "card":
        return told | {"next_step": "end", "next_on": case["deadline_on"]}
    return told


def _overdue(store: Store, today: date, ids: list[str]) -> dict[tuple[str, str], int]:
    if not ids:
        return {}
    sums = (
        select(invoices.c.customer_id, invoices.c.currency, func.sum(OPEN_MINOR).label("open_minor"))
        .where(
            invoices.c.customer_id.in_(sorted(set(ids))),
            invoices.c.state == "open",
            invoices.c.due_on < today,
        )
        .group_by(invoices.c.customer_id, invoices.c.currency)
    )
    return {(row["customer_id"], row["currency"]): int(row["open_minor"] or 0) for row in store.rows(sums)}


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
_TRIED_AGAIN = (
    select(
        payments.c.customer_id,
        customers.c.name,
        invoices.c.number.label("invoice_no"),
        payments.c.currency,
        payments.c.amount_minor,
        payments.c.attempt,
        payments.c.failures,
        payment_attempts.c.decline_code,
        payments.c.next_attempt_at.label("next_at"),
    )
    .join(customers, customers.c.customer_id == payments.c.customer_id)
    .outerjoin(invoices, invoices.c.invoice_id == payments.c.invoice_id)
    .outerjoin(
        payment_attempts,
        and_(
            payment_attempts.c.payment_id == payments.c.payment_id,
            payment_attempts.c.attempt == payments.c.attempt,
        ),
    )
    .where(payments.c.next_attempt_at.is_not(None))
    .order_by(payments.c.next_attempt_at)
)


def tried_again(store: Store, of: tuple[str, ...] | None, limit: int) -> pl.DataFrame:
    """Payments with an attempt ahead, the next first."""
    rows = store.rows(_TRIED_AGAIN.where(*_of(payments.c.customer_id, of)).limit(limit))
    return pl.DataFrame([[row[name] for name in _AHEAD] for row in rows], schema=_AHEAD, orient="row")
