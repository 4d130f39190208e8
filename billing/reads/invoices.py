"""Invoices and credit notes: found by an index, listed a page at a time, and one of them whole.

A list of one state comes by the day its invoices are due (what is past due from the oldest on), as long as
there are not too many to be put in order; of a range of days by the day of issue; any other by id, the newest
first. Which of these a page is of shows in its place, so the next page goes on in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, func, select

from billing.core.money import BillingError, Scaled, format_scaled
from billing.documents.document import InvoiceDocument
from billing.documents.reading import document_of, documents_named
from billing.reads.page import Page, page
from billing.reads.runs import ids_of_run
from billing.reads.scope import Scope
from billing.store.debts import OPEN_MINOR
from billing.store.store import Row, Store
from billing.store.tables import applications, credit_note_lines, legal_entities, line_items, refunds
from billing.store.tables import credit_notes as noted
from billing.store.tables import invoice_disputes as disputed
from billing.store.tables import invoices as issued

COUNTED = 10_000
"""Beyond so many documents of a state nobody goes on counting them for a look, or puts them in order."""
STATES = ("open", "past_due", "uncollectible", "paid", "void")
"""What an invoice may be asked for as: its stored state, or open and past its day."""
_STORED = ("open", "uncollectible", "paid", "void")
OWING = ("open", "past_due", "uncollectible")

_KEY = issued.c.invoice_id
_OPEN = {
    "open": OPEN_MINOR,
    "past_due": OPEN_MINOR,
    "uncollectible": issued.c.written_off_minor - issued.c.recovered_minor,
}
_LEFT = case(
    (issued.c.state == "open", OPEN_MINOR),
    (issued.c.state == "uncollectible", _OPEN["uncollectible"]),
    else_=0,
).label("open_minor")
_INVOICE = select(*(column for column in issued.c if column.name != "frozen_at"), _LEFT)


def invoices(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    today: date | None = None,
    customer_id: str | None = None,
    state: str | None = None,
    number: str | None = None,
    issued_from: date | None = None,
    issued_until: date | None = None,
    due_before: date | None = None,
    run_id: str | None = None,
    po_id: str | None = None,
) -> Page:
    """Issued invoices that fit all that is named, with `open_minor`: what is left to pay, or of one that was
    written off what was not recovered.

    `today` says what is past due, so that state needs it. Days of issue are half-open, [from, until). Raises
    `unknown_setting` for a state that is none, `missing_value` for past_due without a today.
    """
    others = scope.where(issued.c.customer_id)
    if customer_id is not None:
        others.append(issued.c.customer_id == customer_id)
    if number is not None:
        others.append(_numbered(issued, number))
    if issued_from is not None:
        others.append(issued.c.issued_on >= issued_from)
    if issued_until is not None:
        others.append(issued.c.issued_on < issued_until)
    if due_before is not None:
        others.append(issued.c.due_on < due_before)
    if run_id is not None:
        others += [ids_of_run(store, run_id, "inv", _KEY), issued.c.run_id == run_id]
    if po_id is not None:
        others.append(issued.c.po_id == po_id)
    of_days = (issued_from or issued_until) and not (customer_id or number or run_id or po_id)
    has_due_day = state is not None or (due_before is not None and not customer_id and not po_id)
    may_be_by_due_day = has_due_day and not (of_days or number or run_id)
    of_state = _in_state(state, today)
    if state is None and has_due_day:
        of_state.append(issued.c.state.in_(_STORED))
    by_due_day = may_be_by_due_day and _is_by_due_day(store, [*of_state, *others], after)
    own = [*(of_state if by_due_day else _in_state(state, today, by_index=False)), *others]
    keys = [issued.c.due_on, _KEY] if by_due_day else [issued.c.issued_on, _KEY] if of_days else [_KEY]
    descending = not (by_due_day and state == "past_due")
    places = select(_KEY, issued.c.due_on, issued.c.issued_on).where(*own)
    found = page(store, places, keys, after=after, limit=limit, descending=descending)
    return Page(_told(store, _INVOICE, _KEY, found), found.after)


def _in_state(state: str | None, today: date | None, *, by_index: bool = True) -> list[ColumnElement[bool]]:
    """Invoices of a state. Without `by_index` the state is no way to find them: where most are of it, another
    order finds a page sooner than all of them put in order."""
    if state is None:
        return [issued.c.number.is_not(None)]
    if state not in STATES:
        raise BillingError("unknown_setting", f"state = {state!r}")
    held: Any = issued.c.state if by_index else func.coalesce(issued.c.state, "")
    if state != "past_due":
        return [held == state, issued.c.number.is_not(None)]
    if today is None:
        raise BillingError("missing_value", "what is past due depends on the day")
    return [held == "open", issued.c.due_on < today]


def _numbered(table: Any, number: str) -> ColumnElement[bool]:
    """Documents of a number, whoever sells: found by the key of sellers and numbers."""
    condition: ColumnElement[bool] = table.c.entity_id.in_(select(legal_entities.c.entity_id)) & (
        table.c.number == number
    )
    return condition


def _is_by_due_day(store: Store, own: Sequence[ColumnElement[bool]], after: Sequence[object] | None) -> bool:
    """Whether the documents of a state are put in the order of the days they are due."""
    if after is not None:
        return len(after) == 2
    return _count(store, select(_KEY).where(*own)) <= COUNTED


def _count(store: Store, some: Select[Any]) -> int:
    """How many rows there are, up to one more than are counted."""
    row = store.row(select(func.count().label("found")).select_from(some.limit(COUNTED + 1).subquery()))
    return int(row["found"]) if row else 0


def _told(store: Store, told: Select[Any], key: Any, found: Page) -> list[Row]:
    """What is told of the documents of a page, in its order."""
    ids = [row[key.name] for row in found.rows]
    rows = {row[key.name]: row for row in store.rows(told.where(key.in_(ids)))} if ids else {}
    return [_whole_numbers(rows[one]) for one in ids]


def _whole_numbers(row: Row) -> Row:
    """Sums as the whole numbers they are."""
    return {
        name: int(value) if name.endswith("_minor") and value is not None else value
        for name, value in row.items()
    }


def invoice(store: Store, scope: Scope, *, invoice_id: str) -> Row | None:
    """One invoice as the list has it, by id or number; None for what is not there or not to be seen."""
    key = find(store, scope, number_or_id=invoice_id)
    row = None if key is None else store.row(_INVOICE.where(issued.c.invoice_id == key))
    return None if row is None else _whole_numbers(row)


# Sums.


def counts(store: Store, scope: Scope, *, today: date) -> list[Row]:
    """How many documents there are of each state and of credit notes, up to a bound, and what is open of
    those that owe: `state`, `currency`, `documents`, `open_minor`, `is_more` (than were counted)."""
    found: list[Row] = []
    for state in STATES:
        own = (*_in_state(state, today), *scope.where(issued.c.customer_id))
        count = _count(store, select(_KEY).where(*own))
        if count > COUNTED or state not in OWING or not count:
            found.append(_counted(state, count))
            continue
        sums = select(
            issued.c.currency, func.count().label("documents"), func.sum(_OPEN[state]).label("open_minor")
        )
        found += [
            {"state": state, **row, "open_minor": int(row["open_minor"] or 0), "is_more": False}
            for row in store.rows(sums.where(*own).group_by(issued.c.currency).order_by(issued.c.currency))
        ]
    notes = _count(store, select(noted.c.note_id).where(*scope.where(noted.c.customer_id)))
    return [*found, _counted("credit_note", notes)]


def _counted(state: str, count: int) -> Row:
    return {
        "state": state,
        "currency": None,
        "documents": min(count, COUNTED),
        "open_minor": None,
        "is_more": count > COUNTED,
    }


def sums_of(store: Store, scope: Scope, *, customer_ids: Sequence[str], today: date) -> list[Row]:
    """What some payers owe by customer and currency: `customer_id`, `currency`, `invoices` that are open,
    their `open_minor`, and what of that is past its day as `overdue_minor`. Who owes nothing has no row."""
    ids = sorted(one for one in set(customer_ids) if scope.holds(one))
    overdue = case((issued.c.due_on < today, OPEN_MINOR), else_=0)
    found: list[Row] = []
    for first in range(0, len(ids), 500):
        sums = (
            select(
                issued.c.customer_id,
                issued.c.currency,
                func.count().label("invoices"),
                func.sum(OPEN_MINOR).label("open_minor"),
                func.sum(overdue).label("overdue_minor"),
            )
            .where(
                issued.c.customer_id.in_(ids[first : first + 500]),
                issued.c.state == "open",
                issued.c.number.is_not(None),
            )
            .group_by(issued.c.customer_id, issued.c.currency)
            .order_by(issued.c.customer_id, issued.c.currency)
        )
        found += map(_whole_numbers, store.rows(sums))
    return found


# One document.


def find(store: Store, scope: Scope, *, number_or_id: str) -> str | None:
    """The id of an invoice or credit note by number or id; None for what is not there or not to be seen.

    Raises `unknown_document` where several sellers have that number, with the ids to choose from.
    """
    named = [row["id"] for row in documents_named(store, number_or_id) if scope.holds(row["customer_id"])]
    if len(named) > 1:
        raise BillingError("unknown_document", f"{number_or_id}: {' or '.join(named)}")
    return str(named[0]) if named else None


def document(store: Store, scope: Scope, *, number_or_id: str) -> InvoiceDocument | None:
    """An issued invoice or credit note as it is sent; None for what is not there or not to be seen. Raises
    as `find`, and `not_issued`, `sums_differ`."""
    key = find(store, scope, number_or_id=number_or_id)
    return None if key is None else document_of(store, key)


_LINES = (
    select(line_items)
    .join(issued, issued.c.invoice_id == line_items.c.invoice_id)
    .where(line_items.c.invoice_id == bindparam("id"))
)


def lines(
    store: Store,
    scope: Scope,
    *,
    invoice_id: str,
    after: Sequence[object] | None = None,
    limit: int = 50,
) -> Page:
    """The lines of an invoice in the order they stand on it; `quantity` as decimal text."""
    asked = _LINES.where(*scope.where(issued.c.customer_id))
    found = page(store, asked, [line_items.c.line_id], after=after, limit=limit, values={"id": invoice_id})
    return Page([_line(row) for row in found.rows], found.after)


def _line(row: Row) -> Row:
    quantity = Scaled(row["quantity_mantissa"], row["quantity_scale"])
    kept = {name: value for name, value in row.items() if not name.startswith("quantity_")}
    return kept | {"quantity": format_scaled(quantity)}


# Credit notes.

_PAID = (
    select(func.coalesce(func.sum(applications.c.amount_minor), 0))
    .where(applications.c.source_id == noted.c.note_id, applications.c.source_kind == "credit_note")
    .scalar_subquery()
)
_GIVEN_BACK = (
    select(func.coalesce(func.sum(refunds.c.amount_minor), 0))
    .where(refunds.c.note_id == noted.c.note_id, refunds.c.state != "failed")
    .scalar_subquery()
)
_NOTE = select(noted, (noted.c.total_minor - _PAID - _GIVEN_BACK).label("open_minor"))


def credit_notes(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    customer_id: str | None = None,
    invoice_id: str | None = None,
    number: str | None = None,
    run_id: str | None = None,
) -> Page:
    """Credit notes that fit all that is named, the newest first, with `open_minor`: the credit that is kept.
    `invoice_id`: those that correct a line of it."""
    key = noted.c.note_id
    own = [noted.c.number.is_not(None), *scope.where(noted.c.customer_id)]
    if customer_id is not None:
        own.append(noted.c.customer_id == customer_id)
    if invoice_id is not None:
        of_lines = (
            select(credit_note_lines.c.note_id)
            .join(line_items, line_items.c.line_id == credit_note_lines.c.line_id)
            .where(line_items.c.invoice_id == invoice_id)
        )
        own.append(key.in_(of_lines))
    if number is not None:
        own.append(_numbered(noted, number))
    if run_id is not None:
        own += [ids_of_run(store, run_id, "note", key), noted.c.run_id == run_id]
    found = page(store, select(key).where(*own), [key], after=after, limit=limit, descending=True)
    return Page(_told(store, _NOTE, key, found), found.after)


def credit_note(store: Store, scope: Scope, *, note_id: str) -> Row | None:
    """One credit note as the list has it, by id or number; None for what is not there or not to be seen."""
    key = find(store, scope, number_or_id=note_id)
    row = None if key is None else store.row(_NOTE.where(noted.c.note_id == key))
    return None if row is None else _whole_numbers(row)


# What customers dispute.

_DISPUTE = select(disputed, issued.c.customer_id, issued.c.currency).join(
    issued, issued.c.invoice_id == disputed.c.invoice_id
)


def invoice_disputes(
    store: Store,
    scope: Scope,
    *,
    after: Sequence[object] | None = None,
    limit: int = 50,
    invoice_id: str | None = None,
    customer_id: str | None = None,
    is_open: bool | None = None,
) -> Page:
    """Disputes of invoices that fit all that is named, the newest first, with the payer and the currency."""
    own = scope.where(issued.c.customer_id)
    if invoice_id is not None:
        own.append(disputed.c.invoice_id == invoice_id)
    if customer_id is not None:
        own.append(issued.c.customer_id == customer_id)
    if is_open is not None:
        is_closed = disputed.c.closed_on
        own.append(is_closed.is_(None) if is_open else is_closed.is_not(None))
    key = disputed.c.dispute_id
    return page(store, _DISPUTE.where(*own), [key], after=after, limit=limit, descending=True)


def invoice_dispute(store: Store, scope: Scope, *, dispute_id: str) -> Row | None:
    """One dispute of an invoice as the list has it; None for what is not there or not to be seen."""
    one = disputed.c.dispute_id == dispute_id
    return store.row(_DISPUTE.where(one, *scope.where(issued.c.customer_id)))
