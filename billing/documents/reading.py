"""Reads an issued document with all that it names: its parties, lines, taxes, and what paid it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from billing.core.money import BillingError
from billing.core.receipts import with_discount
from billing.documents.document import (
    BankAccount,
    Corrected,
    EarlyDiscount,
    InvoiceDocument,
    Line,
    Party,
    Settlement,
    TaxSum,
    Terms,
    checked,
)
from billing.documents.lines import LINE, category_of, line_of
from billing.documents.parties import Parties
from billing.store.debts import DEBT
from billing.store.store import Row, Store
from billing.store.tables import (
    applications,
    credit_note_lines,
    credit_notes,
    customers,
    invoices,
    legal_entities,
    line_items,
    payment_methods,
    payment_terms,
    payments,
    purchase_orders,
    refunds,
)

_INVOICE = select(invoices).where(invoices.c.invoice_id == bindparam("id"))
_NOTE = select(credit_notes).where(credit_notes.c.note_id == bindparam("id"))
_ENTITIES = select(legal_entities).order_by(legal_entities.c.entity_id)
_INVOICE_NUMBERED = select(invoices.c.invoice_id.label("id"), invoices.c.customer_id).where(
    invoices.c.entity_id == bindparam("entity"), invoices.c.number == bindparam("number")
)
_NOTE_NUMBERED = select(credit_notes.c.note_id.label("id"), credit_notes.c.customer_id).where(
    credit_notes.c.entity_id == bindparam("entity"), credit_notes.c.number == bindparam("number")
)


def document_of(store: Store, document_id: str) -> InvoiceDocument:
    """An issued invoice or credit note by its id. Raises `unknown_document`, `not_issued` for one without
    number, `sums_differ`."""
    invoice = store.row(_INVOICE, {"id": document_id})
    if invoice is not None:
        return checked(_invoice(store, _issued(invoice)))
    note = store.row(_NOTE, {"id": document_id})
    if note is None:
        raise BillingError("unknown_document", document_id)
    return checked(_note(store, _issued(note)))


def find_document(store: Store, number_or_id: str) -> str:
    """The id of the document with that number or id. Raises `unknown_document`, also where several sellers
    have that number, with the ids to choose from."""
    found = [str(row["id"]) for row in documents_named(store, number_or_id)]
    if len(found) != 1:
        raise BillingError("unknown_document", f"{number_or_id}: {' or '.join(found)}".removesuffix(": "))
    return found[0]


def documents_named(store: Store, number_or_id: str) -> list[Row]:
    """The invoice or credit note of that id, else those of that number, one a seller at most: `id`,
    `customer_id`."""
    by_id = {"id": number_or_id}
    own = store.row(_INVOICE, by_id) or store.row(_NOTE, by_id)
    if own is not None:
        return [{"id": number_or_id, "customer_id": own["customer_id"]}]
    found: list[Row] = []
    for entity in store.rows(_ENTITIES):
        asked = {"entity": entity["entity_id"], "number": number_or_id}
        found += [*store.rows(_INVOICE_NUMBERED, asked), *store.rows(_NOTE_NUMBERED, asked)]
    return found


def _issued(row: Row) -> Row:
    if row["number"] is None:
        raise BillingError("not_issued", str(row.get("invoice_id") or row.get("note_id")))
    return row


# What invoices and notes have alike.

_LINES = LINE.where(line_items.c.invoice_id == bindparam("id")).order_by(line_items.c.line_id)
_LINES_OF_NOTE = (
    LINE.add_columns(
        credit_note_lines.c.position,
        credit_note_lines.c.kind.label("note_kind"),
        credit_note_lines.c.service_start.label("note_start"),
        credit_note_lines.c.service_end.label("note_end"),
        credit_note_lines.c.net_minor.label("note_net_minor"),
        credit_note_lines.c.tax_minor.label("note_tax_minor"),
        invoices.c.number.label("invoice_number"),
        invoices.c.issued_on.label("invoice_issued_on"),
    )
    .join(credit_note_lines, credit_note_lines.c.line_id == line_items.c.line_id)
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .where(credit_note_lines.c.note_id == bindparam("id"))
    .order_by(credit_note_lines.c.position)
)
_CUSTOMER = select(customers).where(customers.c.customer_id == bindparam("id"))
_ENTITY = select(legal_entities).where(legal_entities.c.entity_id == bindparam("id"))


def _about(store: Store, head: Row, rows: Sequence[Row], lines: tuple[Line, ...]) -> dict[str, Any]:
    """The facts both kinds of documents have, but for lines and parties that follow from the lines."""
    entity = store.row(_ENTITY, {"id": head["entity_id"]})
    payer = store.row(_CUSTOMER, {"id": head["customer_id"]})
    assert entity is not None
    assert payer is not None
    parties = Parties(store, head)
    seller = parties.seller(entity)
    names = ("number", "issued_on", "currency", "net_minor", "tax_minor", "total_minor")
    return {
        **{name: head[name] for name in names},
        "locale": payer["locale"],
        "seller": seller,
        "buyer": parties.buyer(head["customer_id"]),
        "ship_to": _ship_to(parties, head["customer_id"], rows),
        "account": _account(entity),
        "service_start": min((line.service_start for line in lines), default=None),
        "service_end": max((line.service_end for line in lines), default=None),
        "lines": lines,
    }


def _account(entity: Row) -> BankAccount | None:
    if not entity["iban"]:
        return None
    return BankAccount(
        holder=entity["name"], bank_name=entity["bank_name"], iban=entity["iban"], bic=entity["bic"]
    )


def _supplied(rows: Iterable[Row]) -> set[str]:
    return {row["ship_to"] or row["customer_id"] for row in rows}


def _ship_to(parties: Parties, payer_id: str, rows: Sequence[Row]) -> Party | None:
    """Where all of it goes, if that is one place and not the buyer's own."""
    places = _supplied(rows)
    if len(places) != 1:
        return None
    (place,) = places
    return parties.ship_to(place) if place != payer_id or parties.has_ship_to(place) else None


def _takers(parties: Parties, payer_id: str, rows: Sequence[Row]) -> list[str | None]:
    """Who takes each line, by name: where lines go to several places that place, else whoever ordered it,
    where that is not the buyer."""
    by_place = len(_supplied(rows)) > 1
    takers = [(row["ship_to"] or row["customer_id"]) if by_place else row["customer_id"] for row in rows]
    if set(takers) <= {payer_id}:
        return [None] * len(takers)
    names = {taker: parties.name(taker) for taker in set(takers)}
    return [names[taker] for taker in takers]


def _tax_sums(rows: Iterable[tuple[str, str, int, int, int]]) -> tuple[TaxSum, ...]:
    """Sums by category, country and rate (of rows of these, net and tax), the highest rate first."""
    sums: dict[tuple[str, str, int], list[int]] = {}
    for category, country, rate_ppm, net, tax in rows:
        so_far = sums.setdefault((category, country, rate_ppm), [0, 0])
        so_far[0] += net
        so_far[1] += tax
    return tuple(
        TaxSum(category=category, country=country, tax_rate_ppm=rate_ppm, net_minor=net, tax_minor=tax)
        for (category, country, rate_ppm), (net, tax) in sorted(sums.items(), key=lambda one: -one[0][2])
    )


def _posted_tax(row: Row) -> tuple[str, str, int, int, int]:
    """The tax of an invoice's line as the tax table has it; the line itself where it has no row there."""
    if row["sum_category"] is None:
        return category_of(row), "", row["tax_rate_ppm"], row["net_minor"], row["tax_minor"]
    names = ("category", "country", "rate_ppm", "base_minor", "tax_minor")
    category, country, rate_ppm, base, tax = (row[f"sum_{name}"] for name in names)
    return category, country, rate_ppm, base, tax


def _credited_tax(row: Row) -> tuple[str, str, int, int, int]:
    """The tax of a note's line: the case is that of the line it corrects."""
    case = category_of(row), row["sum_country"] or "", row["tax_rate_ppm"]
    return *case, row["note_net_minor"], row["note_tax_minor"]


_AMOUNTS = ("kind", "service_start", "service_end", "gross_minor", "discount_minor", "net_minor", "tax_minor")


# Invoices.

_CORRECTED = (
    select(line_items.c.line_id, invoices.c.number)
    .join(invoices, invoices.c.invoice_id == line_items.c.invoice_id)
    .where(line_items.c.line_id.in_(bindparam("ids", expanding=True)))
)
_DEBT = DEBT.where(invoices.c.invoice_id == bindparam("id"))
_TERMS = select(payment_terms).where(payment_terms.c.terms_id == bindparam("id"))
_METHOD = select(payment_methods.c.kind).where(payment_methods.c.method_id == bindparam("id"))
_DEFAULT_METHODS = (
    select(payment_methods)
    .where(payment_methods.c.customer_id == bindparam("id"), payment_methods.c.is_default)
    .order_by(payment_methods.c.valid_from)
)
_ORDER = select(purchase_orders.c.number).where(purchase_orders.c.po_id == bindparam("id"))
_REPLACING = select(invoices.c.number).where(
    invoices.c.customer_id == bindparam("payer"), invoices.c.replaces_id == bindparam("id")
)
_PAID_BY = (
    select(
        applications,
        credit_notes.c.number,
        payments.c.received_on,
    )
    .outerjoin(
        credit_notes,
        (credit_notes.c.note_id == applications.c.source_id) & (applications.c.source_kind == "credit_note"),
    )
    .outerjoin(
        payments,
        (payments.c.payment_id == applications.c.source_id) & (applications.c.source_kind == "payment"),
    )
    .where(applications.c.invoice_id == bindparam("id"))
    .order_by(applications.c.applied_on, applications.c.application_id)
)
_STATE_DAYS = {"paid": "paid_on", "void": "voided_on", "uncollectible": "written_off_on"}


def _invoice(store: Store, head: Row) -> InvoiceDocument:
    rows = store.rows(_LINES, {"id": head["invoice_id"]})
    takers = _takers(Parties(store, head), head["customer_id"], rows)
    corrected = _corrected_numbers(store, rows)
    lines = tuple(
        line_of(
            store,
            row,
            position,
            taker,
            corrected.get(row["reverses_line_id"]),
            {name: row[name] for name in _AMOUNTS},
        )
        for position, (row, taker) in enumerate(zip(rows, takers, strict=True), 1)
    )
    settlements = _paid_by(store, head)
    open_minor = _open(head, settlements)
    replaced = store.row(_INVOICE, {"id": head["replaces_id"]}) if head["replaces_id"] else None
    replacing = store.row(_REPLACING, {"payer": head["customer_id"], "id": head["invoice_id"]})
    order = store.row(_ORDER, {"id": head["po_id"]}) if head["po_id"] else None
    return InvoiceDocument(
        kind="invoice",
        document_id=head["invoice_id"],
        due_on=head["due_on"],
        state=head["state"],
        state_on=head[_STATE_DAYS[head["state"]]] if head["state"] in _STATE_DAYS else None,
        terms=_terms(store, head),
        purchase_order=order["number"] if order else None,
        taxes=_tax_sums(map(_posted_tax, rows)),
        settlements=settlements,
        open_minor=open_minor,
        corrects=(),
        reason=None,
        replaces=replaced["number"] if replaced else None,
        replaced_by=replacing["number"] if replacing else None,
        **_about(store, head, rows, lines),
    )


def _corrected_numbers(store: Store, rows: Sequence[Row]) -> dict[str, str]:
    """The invoices that credits among the lines take back from: their numbers by the line taken back."""
    ids = sorted({row["reverses_line_id"] for row in rows if row["reverses_line_id"]})
    found = store.rows(_CORRECTED, {"ids": ids}) if ids else []
    return {row["line_id"]: row["number"] for row in found}


def _paid_by(store: Store, head: Row) -> tuple[Settlement, ...]:
    """What paid the invoice; what was undone is left out, and a source counts once."""
    sums: dict[tuple[str, str], Settlement] = {}
    for row in store.rows(_PAID_BY, {"id": head["invoice_id"]}):
        key = (row["source_kind"], row["source_id"])
        so_far = sums.get(key)
        sums[key] = Settlement(
            kind=row["source_kind"],
            reference=row["number"],
            on=so_far.on if so_far else row["received_on"] or row["applied_on"],
            amount_minor=row["amount_minor"] + (so_far.amount_minor if so_far else 0),
        )
    found = [one for one in sums.values() if one.amount_minor]
    if head["state"] == "uncollectible" and head["written_off_minor"]:
        found.append(
            Settlement(
                kind="write_off",
                reference=None,
                on=head["written_off_on"],
                amount_minor=head["total_minor"] - sum(one.amount_minor for one in found),
            )
        )
    return tuple(found)


def _open(head: Row, settlements: Iterable[Settlement]) -> int:
    if head["state"] == "void":
        return 0
    return int(head["total_minor"] - sum(one.amount_minor for one in settlements))


def _terms(store: Store, head: Row) -> Terms:
    agreed = store.row(_TERMS, {"id": head["terms_id"]}) if head["terms_id"] else None
    return Terms(
        collection=head["collection"],
        method=_method(store, head) if head["collection"] == "automatic" else None,
        net_days=agreed["net_days"] if agreed else None,
        end_of_month=bool(agreed and agreed["end_of_month"]),
        early_discount=_early_discount(store, head),
    )


def _method(store: Store, head: Row) -> str | None:
    """How it is charged: by the invoice's own method, else by the payer's default of its day."""
    if head["method_id"]:
        row = store.row(_METHOD, {"id": head["method_id"]})
        return row["kind"] if row else None
    on = head["issued_on"]
    kinds = [
        row["kind"]
        for row in store.rows(_DEFAULT_METHODS, {"id": head["customer_id"]})
        if row["valid_from"] <= on and (row["valid_to"] is None or row["valid_to"] > on)
    ]
    return kinds[-1] if kinds else None


def _early_discount(store: Store, head: Row) -> EarlyDiscount | None:
    """What may still be kept back, and what then is to pay, as core.receipts gives it to whoever pays."""
    if not head["early_discount_ppm"]:
        return None
    (debt,) = with_discount(store.frame(_DEBT, {"id": head["invoice_id"]})).rows(named=True)
    if debt["early_minor"] == debt["open_minor"]:
        return None
    return EarlyDiscount(
        discount_ppm=debt["discount_ppm"],
        until=debt["discount_until"],
        discount_minor=debt["open_minor"] - debt["early_minor"],
        to_pay_minor=debt["early_minor"],
    )


# Credit notes.

_SPENT = (
    select(applications, invoices.c.number)
    .join(invoices, invoices.c.invoice_id == applications.c.invoice_id)
    .where(applications.c.source_id == bindparam("id"), applications.c.source_kind == "credit_note")
    .order_by(applications.c.applied_on, applications.c.application_id)
)
_REFUNDS = (
    select(refunds)
    .where(refunds.c.note_id == bindparam("id"), refunds.c.state != "failed")
    .order_by(refunds.c.requested_on, refunds.c.refund_id)
)


def _note(store: Store, head: Row) -> InvoiceDocument:
    rows = store.rows(_LINES_OF_NOTE, {"id": head["note_id"]})
    takers = _takers(Parties(store, head), head["customer_id"], rows)
    lines = tuple(
        line_of(store, row, row["position"], taker, row["invoice_number"], _of_note(row))
        for row, taker in zip(rows, takers, strict=True)
    )
    settlements = _spent(store, head["note_id"])
    corrected = {row["invoice_number"]: row["invoice_issued_on"] for row in rows if row["invoice_number"]}
    return InvoiceDocument(
        kind="credit_note",
        document_id=head["note_id"],
        due_on=None,
        state="issued",
        state_on=None,
        terms=None,
        purchase_order=None,
        taxes=_tax_sums(map(_credited_tax, rows)),
        settlements=settlements,
        open_minor=head["total_minor"] - sum(one.amount_minor for one in settlements),
        corrects=tuple(Corrected(number=number, issued_on=on) for number, on in sorted(corrected.items())),
        reason=head["reason"],
        replaces=None,
        replaced_by=None,
        **_about(store, head, rows, lines),
    )


def _of_note(row: Row) -> dict[str, Any]:
    """What a note says of a line in its own right; it takes back an amount, not a number of units."""
    return {
        "kind": row["note_kind"] or row["kind"],
        "service_start": row["note_start"],
        "service_end": row["note_end"],
        "gross_minor": row["note_net_minor"],
        "discount_minor": 0,
        "net_minor": row["note_net_minor"],
        "tax_minor": row["note_tax_minor"],
        "quantity": None,
        "unit_price": None,
        "is_average": False,
        "price": None,
        "proration": None,
    }


def _spent(store: Store, note_id: str) -> tuple[Settlement, ...]:
    """What became of the note's credit: invoices it paid, and money on its way back."""
    sums: dict[str, Settlement] = {}
    for row in store.rows(_SPENT, {"id": note_id}):
        so_far = sums.get(row["invoice_id"])
        sums[row["invoice_id"]] = Settlement(
            kind="invoice",
            reference=row["number"],
            on=so_far.on if so_far else row["applied_on"],
            amount_minor=row["amount_minor"] + (so_far.amount_minor if so_far else 0),
        )
    paid = [one for one in sums.values() if one.amount_minor]
    given_back = [
        Settlement(
            kind="refund",
            reference=None,
            on=row["refunded_on"] or row["requested_on"],
            amount_minor=row["amount_minor"],
        )
        for row in store.rows(_REFUNDS, {"id": note_id})
    ]
    return tuple(paid + given_back)
