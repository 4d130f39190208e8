"""What goes wrong with bills and payments, and how it ends: a pure plan, invoice by invoice.

Each is drawn from the customer and the half of a month its invoice was issued in, so no incident of one
customer moves another's. None of them ends a subscription, and none leaves an invoice of who stays unpaid for
the thirty days after which metrics count a customer as lost: what lets customers leave is decided in `causes`
alone. Only the short deliveries that pain a customer show here too, as credits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

from billing.simulator.causes import PAIN_MONTHS
from billing.simulator.life import Life, is_served
from billing.simulator.population import Calendar, Customer, Topic, stream

IncidentKind = Literal["credit_note", "give_back", "void", "dispute", "chargeback"]
Outcome = Literal["accepted", "rejected", "won", "credited", "paid"]

# Of the invoices on net terms.
VOID_SHARE = 0.010
DISPUTE_SHARE = 0.030
# Of all invoices, and of those of customers whom short deliveries pain.
CREDIT_SHARE = 0.015
PAIN_CREDIT_SHARE = 0.70
GIVE_BACK_SHARE = 0.35
# Of the invoices that are charged.
CHARGEBACK_SHARE = 0.012

ACCEPTED_SHARE = 0.50
# What becomes of a disputed payment: it is won; or lost, and the invoice credited or paid another way.
CHARGEBACK_ENDS: tuple[tuple[Outcome, float], ...] = (("won", 0.45), ("credited", 0.30), ("paid", 0.25))
DISPUTED_DAYS = 13
# How long after its end a customer that could not pay is still hoped to.
HOPED_DAYS = 45
# What becomes of what was written off: a part of it comes in, it is reinstated and paid; else nothing.
RECOVERED_SHARE = 0.30
REINSTATED_SHARE = 0.30
# Who paid too much asks for it instead of letting it pay the next invoice.
ASKS_BACK_SHARE = 0.40


@dataclass(frozen=True)
class Billed:
    """An invoice on the day it was issued."""

    invoice_id: str
    number: str
    issued_on: date
    is_on_terms: bool


@dataclass(frozen=True)
class Incident:
    """Something that happens to an invoice on a day. `share`: how much of its largest line it is about.
    `closes_on` and `outcome`: of disputes."""

    kind: IncidentKind
    on: date
    share: float = 0.0
    closes_on: date = date.max
    outcome: Outcome = "rejected"


def incident_of(
    seed: int, customer: Customer, life: Life, calendar: Calendar, billed: Billed
) -> Incident | None:
    """What goes wrong with an invoice, if anything does. Pure: same arguments, same incident."""
    u = _draws(seed, Topic.INCIDENTS, customer, calendar, billed.issued_on)
    on = billed.issued_on
    share = 0.03 + 0.17 * float(u[2])
    if not is_served(life, on):
        return None
    if customer.dealings.pays_early:
        # What is wrong is found before the tenth day, when the money is on its way.
        return Incident("void", on + timedelta(days=1)) if u[0] < VOID_SHARE else None
    credit_share = PAIN_CREDIT_SHARE if _is_pained(customer, calendar, on) else CREDIT_SHARE
    if u[1] < credit_share:
        is_back = not billed.is_on_terms and u[3] < GIVE_BACK_SHARE
        return Incident("give_back" if is_back else "credit_note", on + timedelta(days=4), share)
    if billed.is_on_terms:
        return _on_terms(u, on)
    if u[0] < CHARGEBACK_SHARE:
        opened_on = on + timedelta(days=9 + int(u[4] * 4))
        return Incident(
            "chargeback", opened_on, 1.0, opened_on + timedelta(days=DISPUTED_DAYS), _end(float(u[5]))
        )
    return None


def _on_terms(u: np.ndarray, on: date) -> Incident | None:
    if u[0] < VOID_SHARE:
        return Incident("void", on + timedelta(days=1))
    if u[0] < VOID_SHARE + DISPUTE_SHARE:
        opened_on = on + timedelta(days=6)
        outcome: Outcome = "accepted" if u[5] < ACCEPTED_SHARE else "rejected"
        return Incident("dispute", opened_on, float(u[2]), opened_on + timedelta(days=12), outcome)
    return None


def _end(at: float) -> Outcome:
    for outcome, share in CHARGEBACK_ENDS:
        if at < share:
            return outcome
        at -= share
    return CHARGEBACK_ENDS[-1][0]


def _is_pained(customer: Customer, calendar: Calendar, on: date) -> bool:
    """Whether short deliveries pain the customer in that month (causes.ticket_factors)."""
    since = customer.causes.support_from
    return since is not None and since <= calendar.number(on) < since + PAIN_MONTHS


@dataclass(frozen=True)
class Aftermath:
    """What becomes of an invoice that was written off: `share` of it comes in on `paid_on`, all of it after
    it was reinstated."""

    is_reinstated: bool
    paid_on: date
    share: float


def aftermath_of(
    seed: int, customer: Customer, calendar: Calendar, issued_on: date, written_off_on: date
) -> Aftermath | None:
    """What becomes of an invoice that was given up on a day. Pure: same arguments, same answer."""
    u = _draws(seed, Topic.WRITE_OFFS, customer, calendar, issued_on)
    if u[1] < RECOVERED_SHARE:
        return Aftermath(False, written_off_on + timedelta(days=25), 0.4 + 0.5 * float(u[2]))
    if u[1] < RECOVERED_SHARE + REINSTATED_SHARE:
        return Aftermath(True, written_off_on + timedelta(days=15), 1.0)
    return None


def asks_back(seed: int, customer: Customer, calendar: Calendar, paid_on: date) -> bool:
    """Whether a customer that paid too much on a day asks for it."""
    return bool(_draws(seed, Topic.REFUNDS, customer, calendar, paid_on)[0] < ASKS_BACK_SHARE)


def _draws(seed: int, topic: Topic, customer: Customer, calendar: Calendar, on: date) -> np.ndarray:
    """Six numbers of a customer for one half of a month."""
    halves = stream(seed, topic, customer.number).random((2 * (calendar.months + 6), 6))
    place = min(2 * calendar.number(on) + (on.day > 15), len(halves) - 1)
    chosen: np.ndarray = halves[place]
    return chosen
