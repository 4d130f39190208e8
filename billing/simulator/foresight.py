"""How likely a customer truly was to end within 90 days, on a day.

The hazards of the file of truth are those of the path a customer took: a payment that will fail next spring
has hazard 1 in that month. Here a month's eve is taken as it was: a cause that has begun by then (the first
decline, the first month of less use, of more tickets, the last rise of prices) has its own hazards; one that
still lies in wait counts with the chance that it begins, for all alike whom it may strike and who came with
the customer. Who is noise is known, and how long use will shrink. What could be made of a customer without
knowing any of this, `observer` says.

A pause, which delays what would have come, counts as if it outlasted the 90 days.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np

from billing.simulator.causes import (
    DECLINE_MONTHS,
    DUNNING_DAYS,
    PAIN_MONTHS,
    SUPPORT_PAINED,
    TERM_END,
    Cause,
    combined,
    notice_on,
    payment_failure,
    term_ends,
)
from billing.simulator.life import Life, pause_share
from billing.simulator.population import (
    PAYMENT_FAILURE_SHARE,
    SETTLED_MONTHS,
    SUPPORT_PAIN_SHARE,
    TERM_SHARE,
    TRANSFER_SHARE,
    TREE_SHARE,
    Calendar,
    Customer,
)

HORIZON_DAYS = 90
HORIZON_MONTHS = 3
"""The anchor days within the horizon of a month's eve."""


class Risk(NamedTuple):
    """P(end within 90 days), and of it by a payment that fails."""

    p_90: float
    p_payment_90: float


def risk(customer: Customer, life: Life, calendar: Calendar, month: int) -> Risk:
    """Of a customer in service and without notice on the eve of a month: the day before its first."""
    has_returned = any(left < calendar.day(month) for left in life.left_on)
    failure = None if has_returned else payment_failure(customer, calendar)
    if failure is not None and failure[0] < calendar.day(month):
        return Risk(1.0, 1.0)
    hazards = life.hazards[month : month + HORIZON_MONTHS].copy()
    hazards[:, [Cause.TERM, Cause.PAYMENT]] = 0.0
    pain_from = customer.causes.support_from
    if pain_from is None or pain_from >= month:
        hazards[:, Cause.SUPPORT] = 0.0
        if not has_returned:
            begins = _begins(may_hurt(customer), customer, calendar, month)
            hazards[PAIN_MONTHS:, Cause.SUPPORT] = begins * SUPPORT_PAINED
    fails = np.zeros(HORIZON_MONTHS)
    if failure is not None and calendar.number(failure[0]) - DECLINE_MONTHS < month:
        fails[:] = [calendar.number(failure[0]) == month + n for n in range(HORIZON_MONTHS)]
    elif not has_returned:
        fails[DECLINE_MONTHS:] = _begins(may_fail(customer), customer, calendar, month)
    return Risk(*ended(customer, calendar, month, hazards, fails))


def ended(
    customer: Customer, calendar: Calendar, month: int, hazards: np.ndarray, fails: np.ndarray
) -> tuple[float, float]:
    """P(end within the horizon): by any cause, and by a payment. hazards: months × causes, of what ends a
    customer on an anchor day; fails: of the charges of these days the chance that dunning follows to the end.
    """
    until = calendar.day(month) + timedelta(days=HORIZON_DAYS - 1)
    decided = {calendar.number(notice_on(end)): end for end in term_ends(customer, calendar)}
    there, ended, by_payment = 1.0, 0.0, 0.0
    for n, leaves in enumerate(combined(hazards)):
        ended, there = ended + there * leaves, there * (1 - leaves)
        if calendar.day(month + n, customer.anchor_day) + timedelta(days=DUNNING_DAYS) <= until:
            by_payment += there * fails[n]
        there *= 1 - fails[n]
        if month + n in decided:
            ended += there * TERM_END * (decided[month + n] <= until)
            there *= 1 - TERM_END
        if not customer.has_term:
            there *= 1 - pause_share(calendar, month + n)
    return float(ended + by_payment), float(by_payment)


def may_fail(customer: Customer) -> float:
    """The share whose payments will fail one day, of those that pay for themselves and not by transfer."""
    share = PAYMENT_FAILURE_SHARE / (1 - TREE_SHARE)
    return share / (share + (1 - share) * (1 - TRANSFER_SHARE)) if customer.is_charged else 0.0


def may_hurt(customer: Customer) -> float:
    """The share whom short deliveries will pain one day."""
    return 0.0 if customer.has_term else SUPPORT_PAIN_SHARE / (1 - TERM_SHARE)


def _begins(share: float, customer: Customer, calendar: Calendar, month: int) -> float:
    """P(a cause that lies in wait for a share begins in `month`), where it has not begun before."""
    first = customer.start_month + SETTLED_MONTHS
    months = max(calendar.months - first, 1)
    if not first <= month < first + months:
        return 0.0
    return (share / months) / (1 - share * (month - first) / months)
