"""How customers on net terms pay their invoices: when, and how much of them at first. A pure plan.

Most pay by the due day, some up to nineteen days late, a few in two parts or a little too much; nobody who
stays is as late as would restrict what may be ordered. Who pays early keeps the discount. Of those who have
left and stand alone, some never pay their last invoices.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from billing.core.receipts import early_discount
from billing.simulator.life import Life, is_served
from billing.simulator.population import Calendar, Customer, Topic, is_head, stream

ON_TIME_SHARE = 0.62
LATE_SHARE = 0.30
LATE_DAYS = 9
VERY_LATE_DAYS = 19
PARTS_SHARE = 0.04
TOO_MUCH_SHARE = 0.02
NEVER_SHARE = 0.30
UNNUMBERED_SHARE = 0.03
UNSIGNED_SHARE = 0.015
ROUND_UNSIGNED_SHARE = 0.5

EARLY_AFTER_DAYS = 8
SECOND_PART_AFTER_DAYS = 8
ROUND_MINOR = 10_000


@dataclass(frozen=True)
class Payment:
    """Money that a customer sends for an invoice, by its number, on a day. `is_too_much`: more than it asks
    for."""

    on: date
    customer: Customer
    number: str
    amount_minor: int
    is_too_much: bool = False


@dataclass(frozen=True)
class Slip:
    """What stands on the bank statement: who sent it, and for what."""

    payer: str
    reference: str


@dataclass(frozen=True)
class Owed:
    """An invoice on net terms as issued. What may be kept back when it is paid by `early_until` is given in
    parts per million."""

    number: str
    issued_on: date
    due_on: date
    total_minor: int
    early_ppm: int = 0
    early_until: date | None = None


def payments_of(seed: int, customer: Customer, life: Life, calendar: Calendar, owed: Owed) -> list[Payment]:
    """What a customer sends for an invoice. Pure: same arguments, same payments."""
    u = _draws(seed, customer, calendar, owed.due_on)
    total = owed.total_minor

    def sent(on: date, amount_minor: int) -> Payment:
        return Payment(on, customer, owed.number, amount_minor, amount_minor > owed.total_minor)

    has_left = not is_served(life, owed.issued_on)
    if has_left and not is_head(customer.number) and u[3] < NEVER_SHARE:
        return []
    if customer.dealings.pays_early and owed.early_until is not None and not has_left:
        on = min(owed.issued_on + timedelta(days=EARLY_AFTER_DAYS), owed.early_until)
        return [sent(on, total - early_discount(total, owed.early_ppm))]
    on = max(owed.due_on + timedelta(days=_delay(float(u[0]), float(u[1]))), owed.issued_on)
    if u[2] < PARTS_SHARE and total > 1:
        latest = owed.due_on + timedelta(days=VERY_LATE_DAYS)
        later = max(on, min(on + timedelta(days=SECOND_PART_AFTER_DAYS), latest))
        return [sent(on, total // 2), sent(later, total - total // 2)]
    if u[2] < PARTS_SHARE + TOO_MUCH_SHARE:
        total = -(-total // ROUND_MINOR) * ROUND_MINOR
    return [sent(on, total)]


def _delay(kind: float, at: float) -> int:
    """Days from the due day to the payment."""
    if kind < ON_TIME_SHARE:
        return -int(at * 4)
    if kind < ON_TIME_SHARE + LATE_SHARE:
        return 1 + int(at * LATE_DAYS)
    return LATE_DAYS + 1 + int(at * (VERY_LATE_DAYS - LATE_DAYS))


def slip_of(seed: int, calendar: Calendar, payment: Payment) -> Slip:
    """How a payment is written: most name the invoice, some only who pays, and a few say nothing, round sums
    most of all."""
    customer = payment.customer
    halves = stream(seed, Topic.BANK, customer.number).random(2 * (calendar.months + 6))
    at = halves[min(2 * calendar.number(payment.on) + (payment.on.day > 15), len(halves) - 1)]
    if at < (ROUND_UNSIGNED_SHARE if payment.is_too_much else UNSIGNED_SHARE):
        return Slip("Collective order", "Supplies")
    if at < UNSIGNED_SHARE + UNNUMBERED_SHARE:
        return Slip(customer.name, "Supplies, with thanks")
    return Slip(customer.name, f"Invoice {payment.number}")


def _draws(seed: int, customer: Customer, calendar: Calendar, due_on: date) -> np.ndarray:
    """Four numbers for the invoices of a customer that are due in one half of a month."""
    halves = stream(seed, Topic.SETTLEMENT, customer.number).random((2 * (calendar.months + 6), 4))
    place = min(2 * calendar.number(due_on) + (due_on.day > 15), len(halves) - 1)
    chosen: np.ndarray = halves[place]
    return chosen
