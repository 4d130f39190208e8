"""Invoices, credit notes, charges, refunds and disputes of a Stripe export as values.

Also how a document's total comes apart: into lines without tax, after discounts, and the tax of each. A
document whose lines do not make up its total is set aside; a rest of at most one minor unit a line, as
rounding leaves it, goes to the line with the most tax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

from pipelines.sources.stripe_fields import (
    Body,
    Reader,
    Refused,
    amount,
    flag,
    instant,
    key,
    part,
    parts,
    reference,
    spread,
    text,
    whole,
    word,
)
from pipelines.sources.stripe_objects import INVOICE_STATUSES, Discount, Line, discounts, line, taxes

NOTE_STATUSES = ("issued", "void")
CHARGE_STATUSES = ("succeeded", "pending", "failed")
REFUND_STATUSES = ("succeeded", "pending", "failed", "canceled", "requires_action")
DISPUTE_STATUSES = (
    *("warning_needs_response", "warning_under_review", "warning_closed", "needs_response", "under_review"),
    *("won", "lost", "charge_refunded", "prevented"),
)


@dataclass(frozen=True)
class DocumentLine:
    """A line as it counts: without tax, after discounts, with its tax beside it."""

    line: Line
    net_minor: int
    discount_minor: int
    tax_minor: int


@dataclass(frozen=True)
class InvoicePayment:
    invoice_id: str
    payment_id: str | None
    charge_id: str | None
    amount_minor: int
    paid_on: date | None


@dataclass(frozen=True)
class Invoice:
    """`wallet_minor` is what the customer's balance with us paid, None where that isn't told; taxes and
    discounts are those of the whole, for exports whose lines do not tell theirs."""

    invoice_id: str
    number: str | None
    customer_id: str
    currency: str
    status: str
    issued_on: date
    due_on: date
    total_minor: int
    amount_paid: int
    wallet_minor: int | None
    voided_on: date | None
    written_off_on: date | None
    paid_on: date | None
    charge_id: str | None
    payment_id: str | None
    is_paid_elsewhere: bool
    tax_minor: int
    inclusive_tax_minor: int
    discount_minor: int
    lines: tuple[Line, ...]
    payments: tuple[InvoicePayment, ...]
    discounts: tuple[Discount | str, ...]

    @property
    def is_issued(self) -> bool:
        return self.status != "draft"


@dataclass(frozen=True)
class NoteLine:
    line_id: str
    note_id: str
    invoice_line_id: str | None
    net_minor: int
    tax_minor: int


@dataclass(frozen=True)
class CreditNote:
    """`applied_minor` is what lowers the invoice; the rest was paid back or put on the customer's balance."""

    note_id: str
    invoice_id: str
    customer_id: str
    currency: str
    issued_on: date
    is_void: bool
    total_minor: int
    applied_minor: int
    lines: tuple[NoteLine, ...]


@dataclass(frozen=True)
class BalanceTransaction:
    transaction_id: str
    amount: int
    fee: int
    currency: str
    on: date


@dataclass(frozen=True)
class Refund:
    refund_id: str
    charge_id: str | None
    payment_id: str | None
    amount_minor: int
    currency: str
    refunded_on: date
    is_made: bool


@dataclass(frozen=True)
class Charge:
    """One attempt to collect. Attempts of one payment intent are one payment."""

    charge_id: str
    payment_id: str
    customer_id: str | None
    invoice_id: str | None
    currency: str
    amount_minor: int
    status: str
    failure_code: str | None
    method: str | None
    at: datetime
    transaction_id: str | None
    transaction: BalanceTransaction | None
    refunds: tuple[Refund, ...]


@dataclass(frozen=True)
class Dispute:
    """`moved_on`: the last day on which the bank moved money for it."""

    dispute_id: str
    charge_id: str | None
    payment_id: str | None
    amount_minor: int
    currency: str
    opened_on: date
    moved_on: date
    status: str

    @property
    def is_inquiry(self) -> bool:
        return self.status.startswith("warning_") or self.status == "prevented"

    @property
    def outcome(self) -> str | None:
        return self.status if self.status in ("won", "lost") else None


def invoice(body: Body, read: Reader) -> Invoice:
    invoice_id = key(body)
    customer_id = key(body, "customer")
    currency = read.currency(body)
    status = word(body, "status", INVOICE_STATUSES)
    if status is None:
        raise Refused("unknown_value", "status")
    created_on = read.day(read.created(body))
    moved, within = part(body, "status_transitions"), "status_transitions."
    issued_on = (
        read.optional_day(moved, "finalized_at", within)
        or read.optional_day(body, "effective_at")
        or created_on
    )
    if status == "draft":
        # Not issued: nothing of it counts yet, and its amounts may still change.
        lines: tuple[Line, ...] = ()
    else:
        lines = tuple(line(one, read, invoice_id) for one in parts(body, "lines") if isinstance(one, dict))
        lines += _shipping(body, invoice_id)
    starting, ending = whole(body, "starting_balance"), whole(body, "ending_balance")
    tax, inclusive, has_taxes = taxes(
        {"taxes": [*parts(body, "total_taxes"), *parts(body, "total_tax_amounts")]}
        if not (parts(body, "total_taxes") and parts(body, "total_tax_amounts"))
        else {"taxes": parts(body, "total_taxes")}
    )
    return Invoice(
        invoice_id,
        text(body, "number"),
        customer_id,
        currency,
        status,
        issued_on,
        max(read.optional_day(body, "due_date") or issued_on, issued_on),
        amount(body, "total", is_signed=True),
        max(whole(body, "amount_paid") or 0, 0),
        ending - starting if starting is not None and ending is not None else None,
        read.optional_day(moved, "voided_at", within) or issued_on if status == "void" else None,
        read.optional_day(moved, "marked_uncollectible_at", within) or issued_on
        if status == "uncollectible"
        else None,
        read.optional_day(moved, "paid_at", within),
        reference(body, "charge"),
        reference(body, "payment_intent"),
        flag(body, "paid_out_of_band"),
        tax if has_taxes else whole(body, "tax") or 0,
        inclusive,
        sum(
            amount(one, "amount", within="total_discount_amounts.")
            for one in _dicts(body, "total_discount_amounts")
        ),
        lines,
        tuple(
            found
            for one in _dicts(body, "payments")
            if (found := invoice_payment({"invoice": invoice_id, **one}, read)) is not None
        ),
        discounts(body, read),
    )


def _dicts(body: Body, field: str) -> list[Body]:
    return [one for one in parts(body, field) if isinstance(one, dict)]


def _shipping(body: Body, invoice_id: str) -> tuple[Line, ...]:
    """What was charged for shipping, as a line of its own."""
    cost = part(body, "shipping_cost")
    net, tax = (
        whole(cost, "amount_subtotal", "shipping_cost."),
        whole(cost, "amount_tax", "shipping_cost.") or 0,
    )
    if not net and not tax:
        return ()
    named = f"{invoice_id}-shipping"
    return (
        Line(
            *(named, invoice_id, None, None, None, None, "one_time", net or 0, Decimal(1), None, None, ()),
            *(tax, 0, bool(tax), ()),
        ),
    )


def settled(document: Invoice, lines: Sequence[Line]) -> list[DocumentLine]:
    """The lines of an invoice as they count. Raises Refused when they do not make up its total."""
    taken = [one.discount_minor for one in lines]
    if not any(taken) and document.discount_minor:
        taken = spread(document.discount_minor, [max(one.amount, 0) for one in lines])
    tax, inclusive = [one.tax_minor for one in lines], [one.inclusive_tax_minor for one in lines]
    if document.tax_minor and not any(one.has_taxes for one in lines):
        weights = [one.amount - off for one, off in zip(lines, taken, strict=True)]
        tax = spread(document.tax_minor, weights)
        inclusive = spread(document.inclusive_tax_minor, weights)
    found = [
        DocumentLine(one, one.amount - off - inside, off, all_tax)
        for one, off, inside, all_tax in zip(lines, taken, inclusive, tax, strict=True)
    ]
    return _adding_up(found, document.total_minor)


Counted = TypeVar("Counted", DocumentLine, NoteLine)


def _adding_up(lines: list[Counted], total_minor: int) -> list[Counted]:
    """The lines, with what taxes were rounded by on the line of the most tax.

    Raises Refused when that is more than a minor unit a line, or there is no tax that could be rounded.
    """
    rest = total_minor - sum(one.net_minor + one.tax_minor for one in lines)
    if rest == 0:
        return lines
    if not any(one.tax_minor for one in lines) or abs(rest) > len(lines):
        raise Refused("bad_amount", "total")
    most = max(range(len(lines)), key=lambda place: (abs(lines[place].tax_minor), -place))
    return [
        replace(one, tax_minor=one.tax_minor + rest) if place == most else one
        for place, one in enumerate(lines)
    ]


def credit_note(body: Body, read: Reader) -> CreditNote:
    note_id, invoice_id, customer_id = key(body), key(body, "invoice"), key(body, "customer")
    currency = read.currency(body)
    status = word(body, "status", NOTE_STATUSES)
    issued_on = read.day(read.created(body))
    total = amount(body, "total")
    applied = whole(body, "pre_payment_amount")
    if applied is None:
        applied = 0 if body.get("type") == "post_payment" else total
    return CreditNote(
        note_id,
        invoice_id,
        customer_id,
        currency,
        read.optional_day(body, "effective_at") or issued_on,
        status == "void",
        total,
        max(min(applied if body.get("type") != "post_payment" else 0, total), 0),
        tuple(note_line(one, read, note_id) for one in _dicts(body, "lines"))
        + tuple(
            NoteLine(one.line_id, note_id, None, one.net_minor, one.tax_minor)
            for one in _shipping(body, note_id)
        ),
    )


def note_line(body: Body, read: Reader, note_id: str | None = None) -> NoteLine:
    tax, inclusive, _ = taxes(body)
    named = _dicts(body, "discount_amounts")
    taken = sum(amount(one, "amount", within="discount_amounts.") for one in named)
    if not named:
        taken = whole(body, "discount_amount") or 0
    return NoteLine(
        key(body),
        note_id or key(body, "credit_note"),
        reference(body, "invoice_line_item"),
        amount(body, "amount", is_signed=True) - taken - inclusive,
        tax,
    )


def settled_note(note: CreditNote, lines: Sequence[NoteLine]) -> list[NoteLine]:
    """The lines of a credit note. Raises Refused when they do not make up its total."""
    return _adding_up(list(lines), note.total_minor)


def balance_transaction(body: Body, read: Reader) -> BalanceTransaction:
    return BalanceTransaction(
        key(body),
        amount(body, "amount", is_signed=True),
        amount(body, "fee", is_signed=True),
        read.currency(body),
        read.day(read.created(body)),
    )


def charge(body: Body, read: Reader) -> Charge:
    charge_id = key(body)
    currency = read.currency(body)
    asked = amount(body, "amount")
    status = word(body, "status", CHARGE_STATUSES)
    if status is None:
        raise Refused("unknown_value", "status")
    is_captured = flag(body, "captured") if body.get("captured") is not None else True
    outcome = {"failed": "declined", "pending": "pending"}.get(
        status, "captured" if is_captured else "authorized"
    )
    captured = whole(body, "amount_captured")
    expanded = part(body, "balance_transaction")
    return Charge(
        charge_id,
        reference(body, "payment_intent") or charge_id,
        reference(body, "customer"),
        reference(body, "invoice"),
        currency,
        captured if outcome == "captured" and captured is not None else asked,
        outcome,
        text(body, "failure_code"),
        text(part(body, "payment_method_details"), "type"),
        read.created(body),
        reference(body, "balance_transaction"),
        balance_transaction(expanded, read) if "fee" in expanded else None,
        tuple(refund({"charge": charge_id, **one}, read) for one in _dicts(body, "refunds")),
    )


def refund(body: Body, read: Reader) -> Refund:
    refund_id = key(body)
    charge_id, payment_id = reference(body, "charge"), reference(body, "payment_intent")
    if charge_id is None and payment_id is None:
        raise Refused("missing_key", "charge")
    status = word(body, "status", REFUND_STATUSES)
    return Refund(
        refund_id,
        charge_id,
        payment_id,
        amount(body, "amount"),
        read.currency(body),
        read.day(read.created(body)),
        status in (None, "succeeded"),
    )


def dispute(body: Body, read: Reader) -> Dispute:
    dispute_id = key(body)
    charge_id, payment_id = reference(body, "charge"), reference(body, "payment_intent")
    if charge_id is None and payment_id is None:
        raise Refused("missing_key", "charge")
    status = word(body, "status", DISPUTE_STATUSES)
    if status is None:
        raise Refused("unknown_value", "status")
    opened_on = read.day(read.created(body))
    moved = [
        read.day(moment)
        for one in _dicts(body, "balance_transactions")
        if (moment := instant(one, "created"))
    ]
    return Dispute(
        dispute_id,
        charge_id,
        payment_id,
        amount(body, "amount"),
        read.currency(body),
        opened_on,
        max([opened_on, *moved]),
        status,
    )


def invoice_payment(body: Body, read: Reader) -> InvoicePayment | None:
    """A payment of an invoice; None for one that has not been made."""
    invoice_id = key(body, "invoice")
    of = part(body, "payment")
    status = text(body, "status")
    paid = whole(body, "amount_paid")
    if status not in (None, "paid") or not paid:
        return None
    if paid < 0:
        raise Refused("negative_amount", "amount_paid")
    moved = part(body, "status_transitions")
    return InvoicePayment(
        invoice_id,
        reference(of, "payment_intent"),
        reference(of, "charge"),
        paid,
        read.optional_day(moved, "paid_at", "status_transitions.") or read.optional_day(body, "created"),
    )
