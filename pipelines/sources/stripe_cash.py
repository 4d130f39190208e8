"""What charges, refunds, disputes and invoices of a Stripe export say of money: payments with their attempts,
what was applied to which invoice and when, refunds, disputes, and the attempts to collect what failed once.

An invoice is settled by the customer's balance, by credit notes before its payment, and by payments, in this
order and never beyond its total. What it says was paid, while no payment in the export is known to be for it,
is a payment of its own where it was made outside of Stripe or the export has no charges at all; else only its
application is known, and the load says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from pipelines.sources.stripe_documents import (
    BalanceTransaction,
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    InvoicePayment,
    Refund,
)
from pipelines.sources.stripe_fields import Reader, posted

RawRow = dict[str, Any]
COLLECTED = "captured"


@dataclass
class Cash:
    """The money side of an export. Values are kept with the load that brought them."""

    charges: dict[str, tuple[Charge, str]] = field(default_factory=dict)
    transactions: dict[str, BalanceTransaction] = field(default_factory=dict)
    refunds: dict[str, tuple[Refund, str]] = field(default_factory=dict)
    disputes: dict[str, tuple[Dispute, str]] = field(default_factory=dict)
    closings: dict[str, date] = field(default_factory=dict)
    invoice_payments: dict[str, list[InvoicePayment]] = field(default_factory=lambda: defaultdict(list))
    unlinked: int = 0
    _payment_ids: set[str] = field(default_factory=set)

    def add(self, charge: Charge, load_id: str) -> None:
        self.charges[charge.charge_id] = charge, load_id
        self._payment_ids.add(charge.payment_id)

    def payment_of(self, charge_id: str | None, payment_id: str | None) -> str | None:
        """The payment that a charge or payment intent is part of; None where the export has no such."""
        if charge_id in self.charges:
            return self.charges[charge_id][0].payment_id
        return payment_id if payment_id in self._payment_ids else None


def attempts_of(cash: Cash, invoices: Iterable[Invoice]) -> dict[str, list[Charge]]:
    """The attempts to collect each invoice, in the order of their time."""
    by_payment: dict[str, list[Charge]] = defaultdict(list)
    for charge, _ in cash.charges.values():
        by_payment[charge.payment_id].append(charge)
    found: dict[str, dict[str, Charge]] = defaultdict(dict)
    for charge, _ in cash.charges.values():
        if charge.invoice_id is not None:
            found[charge.invoice_id][charge.charge_id] = charge
    for invoice in invoices:
        named = [*cash.invoice_payments.get(invoice.invoice_id, ()), *invoice.payments]
        payment_ids = {one.payment_id for one in named} | {invoice.payment_id}
        for charge_id in {one.charge_id for one in named} | {invoice.charge_id}:
            if charge_id in cash.charges:
                charge = cash.charges[charge_id][0]
                found[invoice.invoice_id][charge.charge_id] = charge
        for payment_id in payment_ids - {None}:
            for charge in by_payment.get(payment_id or "", ()):
                found[invoice.invoice_id][charge.charge_id] = charge
    return {
        invoice_id: sorted(charges.values(), key=lambda one: (one.at, one.charge_id))
        for invoice_id, charges in found.items()
    }


def payments(cash: Cash, attempts: Mapping[str, Sequence[Charge]], read: Reader) -> list[RawRow]:
    """A row for each attempt of each payment."""
    targets = {
        charge.charge_id: invoice_id
        for invoice_id in sorted(attempts, reverse=True)
        for charge in attempts[invoice_id]
    }
    rows, numbers = [], dict[str, int]()
    for charge, load_id in sorted(cash.charges.values(), key=lambda one: (one[0].at, one[0].charge_id)):
        numbers[charge.payment_id] = numbers.get(charge.payment_id, 0) + 1
        rows.append(
            {
                "payment_id": charge.payment_id,
                "attempt_no": numbers[charge.payment_id],
                "customer_id": charge.customer_id,
                "currency": charge.currency,
                "amount_minor": charge.amount_minor,
                "fee_minor": _fee(cash, charge) if charge.status == COLLECTED else 0,
                "method": charge.method,
                "status": charge.status,
                "failure_code": charge.failure_code,
                "invoice_id": charge.invoice_id or targets.get(charge.charge_id),
                "attempted_at": charge.at,
                "received_on": read.day(charge.at) if charge.status == COLLECTED else None,
                "load_id": load_id,
            }
        )
    return rows


def _fee(cash: Cash, charge: Charge) -> int | None:
    """The fee in the charge's currency; one settled in another is taken back at the charge's rate."""
    found = charge.transaction or cash.transactions.get(charge.transaction_id or "")
    if found is None:
        return None
    if found.currency == charge.currency:
        return found.fee
    return posted(Fraction(found.fee * charge.amount_minor, found.amount)) if found.amount else None


@dataclass(frozen=True)
class Applied:
    """What was applied to one invoice, and what was paid for it without a payment in the export."""

    rows: list[RawRow]
    payments: list[RawRow]
    remaining_minor: int


def applied(
    invoice: Invoice,
    notes: Sequence[CreditNote],
    attempts: Sequence[Charge],
    cash: Cash,
    used: dict[str, int],
    read: Reader,
    load_id: str,
) -> Applied:
    """Settle one invoice. `used` keeps how much of each payment is applied, over all invoices."""
    left = invoice.total_minor
    rows: list[RawRow] = []

    def apply(kind: str, source_id: str, minor: int, day: date) -> None:
        nonlocal left
        left -= minor
        rows.append(
            {
                "application_id": f"{invoice.invoice_id}/{kind}/{source_id}",
                "source_kind": kind,
                "source_id": source_id,
                "invoice_id": invoice.invoice_id,
                "amount_minor": minor,
                "applied_on": max(day, invoice.issued_on),
                "load_id": load_id,
            }
        )

    if invoice.status == "void":
        return Applied([], [], 0)
    # What is owed to the customer goes to its balance.
    wallet = left if left < 0 else min(max(invoice.wallet_minor or 0, 0), left)
    if wallet:
        apply("wallet", invoice.customer_id, wallet, invoice.issued_on)
    for note in sorted(notes, key=lambda one: (one.issued_on, one.note_id)):
        if minor := min(note.applied_minor, left):
            apply("credit_note", note.note_id, minor, note.issued_on)
    unexplained = min(invoice.amount_paid, left)
    for payment_id, available, day in _known_payments(invoice, attempts, cash, used, read):
        if minor := min(available, unexplained):
            apply("payment", payment_id, minor, day)
            used[payment_id] = used.get(payment_id, 0) + minor
            unexplained -= minor
    if unexplained <= 0:
        return Applied(rows, [], left)
    paid_on = invoice.paid_on or invoice.issued_on
    source_id = f"{invoice.invoice_id}-paid"
    apply("payment", source_id, unexplained, paid_on)
    if cash.charges and not invoice.is_paid_elsewhere:
        cash.unlinked += 1
        return Applied(rows, [], left)
    return Applied(rows, [_payment_elsewhere(invoice, source_id, unexplained, paid_on, load_id)], left)


def _known_payments(
    invoice: Invoice, attempts: Sequence[Charge], cash: Cash, used: Mapping[str, int], read: Reader
) -> list[tuple[str, int, date]]:
    """Payments that are for an invoice: id, what there is of it to apply, and its day."""
    named = [*cash.invoice_payments.get(invoice.invoice_id, ()), *invoice.payments]
    there = {one.payment_id: one for one in attempts if one.status == COLLECTED}
    limits: dict[str, int] = {}
    for one in named:
        payment_id = cash.payment_of(one.charge_id, one.payment_id)
        if payment_id is not None:
            limits[payment_id] = max(limits.get(payment_id, 0), one.amount_minor)
    found = []
    for payment_id, charge in there.items():
        free = charge.amount_minor - used.get(payment_id, 0)
        if limits and payment_id not in limits:
            continue
        found.append((payment_id, max(min(free, limits.get(payment_id, free)), 0), read.day(charge.at)))
    return found


def _payment_elsewhere(invoice: Invoice, payment_id: str, minor: int, paid_on: date, load_id: str) -> RawRow:
    return {
        "payment_id": payment_id,
        "attempt_no": 1,
        "customer_id": invoice.customer_id,
        "currency": invoice.currency,
        "amount_minor": minor,
        "fee_minor": 0,
        "method": "out_of_band" if invoice.is_paid_elsewhere else None,
        "status": COLLECTED,
        "failure_code": None,
        "invoice_id": invoice.invoice_id,
        "attempted_at": None,
        "received_on": paid_on,
        "load_id": load_id,
    }


def refunds(cash: Cash) -> list[RawRow]:
    return [
        {
            "refund_id": one.refund_id,
            "payment_id": cash.payment_of(one.charge_id, one.payment_id),
            "amount_minor": one.amount_minor,
            "currency": one.currency,
            "refunded_on": one.refunded_on,
            "load_id": load_id,
        }
        for one, load_id in cash.refunds.values()
        if one.is_made
    ]


def disputes(cash: Cash) -> list[RawRow]:
    """Disputes for which money moved. One that was lost is closed on the day an event tells, else on the last
    day its money moved."""
    rows = []
    for one, load_id in cash.disputes.values():
        if one.is_inquiry:
            continue
        closed_on = cash.closings.get(one.dispute_id, one.moved_on) if one.outcome else None
        rows.append(
            {
                "dispute_id": one.dispute_id,
                "payment_id": cash.payment_of(one.charge_id, one.payment_id),
                "amount_minor": one.amount_minor,
                "currency": one.currency,
                "opened_on": one.opened_on,
                "closed_on": closed_on,
                "outcome": one.outcome,
                "load_id": load_id,
            }
        )
    return rows


def dunning(invoice: Invoice, attempts: Sequence[Charge], is_given_up: bool, load_id: str) -> list[RawRow]:
    """The attempts of an invoice that failed once; the last one is `exhausted` where it was given up."""
    tried = [one for one in attempts if one.status in (COLLECTED, "declined")]
    if not any(one.status == "declined" for one in tried):
        return []
    rows = []
    for number, one in enumerate(tried, 1):
        outcome = "recovered" if one.status == COLLECTED else "failed"
        if outcome == "failed" and number == len(tried) and is_given_up:
            outcome = "exhausted"
        rows.append(
            {
                "invoice_id": invoice.invoice_id,
                "attempt_no": number,
                "attempted_at": one.at,
                "outcome": outcome,
                "load_id": load_id,
            }
        )
    return rows
