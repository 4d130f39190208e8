"""How likely a customer was to end within 90 days, by what could be known on a day and no more.

The hazards of the file of truth are those of the path a customer took: a payment that will fail next spring
has hazard 1 in that month. Here a month's eve is taken as it was, in two ways.

- `p_90`, the true probability: a cause that has begun by then (the first decline, the first month of less
  use, of more tickets, the last rise of prices) has its own hazards; one that still lies in wait counts with
  the chance that it begins, for all alike whom it may strike.
- `p_90_shown`: the same of an observer who sees all that shows. Who is noise shows nowhere; whether use goes
  on shrinking is not seen before it does; and a first decline looks like one that means nothing.

A pause, which delays what would have come, counts as if it outlasted the 90 days.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np

from billing.simulator.causes import (
    BASE,
    DECLINE_MONTHS,
    DUNNING_DAYS,
    NOISE_FACTOR,
    PAIN_MONTHS,
    SUPPORT_PAINED,
    TERM_END,
    USAGE_DECAYED,
    Cause,
    combined,
    notice_on,
    payment_failure,
    term_ends,
)
from billing.simulator.life import (
    DECLINE,
    FIRST_DECLINE_DAYS,
    HARD_SHARE,
    LOST_SHARE,
    SHORT_DECLINES,
    SOFT_CODES,
    Life,
    pause_share,
)
from billing.simulator.population import (
    DECAY_MONTHS,
    NOISE_SHARE,
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
MEAN_BASE = BASE * (1 + NOISE_SHARE * (NOISE_FACTOR - 1))
SOFT_SHORT = DECLINE * (1 - HARD_SHARE - LOST_SHARE) * SHORT_DECLINES
"""How often a decline that means nothing looks like the first of a payment that will fail."""


class Risk(NamedTuple):
    """P(end within 90 days), of it by a payment that fails, and the first as it shows."""

    p_90: float
    p_payment_90: float
    p_90_shown: float


def risk(customer: Customer, life: Life, calendar: Calendar, month: int) -> Risk:
    """Of a customer in service and without notice on the eve of a month: the day before its first."""
    has_returned = any(left < calendar.day(month) for left in life.left_on)
    failure = None if has_returned else payment_failure(customer, calendar)
    if failure is not None and failure[0] < calendar.day(month):
        return Risk(1.0, 1.0, 1.0)
    hazards = life.hazards[month : month + HORIZON_MONTHS].copy()
    hazards[:, [Cause.TERM, Cause.PAYMENT]] = 0.0
    pain_from = customer.causes.support_from
    if pain_from is None or pain_from >= month:
        hazards[:, Cause.SUPPORT] = 0.0
        if not has_returned:
            begins = _begins(_may_hurt(customer), customer, calendar, month)
            hazards[PAIN_MONTHS:, Cause.SUPPORT] = begins * SUPPORT_PAINED
    shown = hazards.copy()
    shown[:, [Cause.BASE, Cause.NOISE]] = MEAN_BASE, 0.0
    if not has_returned:
        shown[:, Cause.USAGE] = _usage_shown(customer, month)
    fails = np.zeros(HORIZON_MONTHS)
    hidden = 0.0 if has_returned else _begins(_may_fail(customer), customer, calendar, month)
    fails[DECLINE_MONTHS:] = hidden
    fails_shown = fails.copy()
    if failure is not None and calendar.number(failure[0]) - DECLINE_MONTHS < month:
        fails = np.array([float(calendar.number(failure[0]) == month + n) for n in range(HORIZON_MONTHS)])
        fails_shown = fails
    if not has_returned and _looks_failing(customer, life, calendar, month) and not fails[0]:
        begun = _begins(_may_fail(customer), customer, calendar, month - 1)
        meant = begun / (begun + (1 - begun) * SOFT_SHORT)
        fails_shown = np.array([0.0, meant, (1 - meant) * hidden])
    p_90, p_payment_90 = _ended(customer, calendar, month, hazards, fails)
    return Risk(p_90, p_payment_90, _ended(customer, calendar, month, shown, fails_shown)[0])


def _ended(
    customer: Customer, calendar: Calendar, month: int, hazards: np.ndarray, fails: np.ndarray
) -> tuple[float, float]:
    """P(end within the horizon): by any cause, and by a payment. hazards: months × causes, of what ends a
    customer on an anchor day; fails: of the charges of these days the chance that dunning follows to the end.
    """
    until = calendar.day(month) + timedelta(days=HORIZON_DAYS - 1)
    there, ended, by_payment = 1.0, 0.0, 0.0
    for n, leaves in enumerate(combined(hazards)):
        ended, there = ended + there * leaves, there * (1 - leaves)
        if calendar.day(month + n, customer.anchor_day) + timedelta(days=DUNNING_DAYS) <= until:
            by_payment += there * fails[n]
        there *= 1 - fails[n]
        for end in term_ends(customer, calendar):
            if calendar.number(notice_on(end)) == month + n:
                ended += there * TERM_END * (end <= until)
                there *= 1 - TERM_END
        if not customer.has_term:
            there *= 1 - pause_share(calendar, month + n)
    return float(ended + by_payment), float(by_payment)


def _usage_shown(customer: Customer, month: int) -> np.ndarray:
    """The hazard of decay in each month of the horizon, where it is seen whether use shrinks no more."""
    since, lasts = customer.causes.decay_from, customer.causes.decay_months
    if since is None or since >= month:
        return np.zeros(HORIZON_MONTHS)
    seen = month - since
    lengths = [lasts] if lasts < seen else [length for length in DECAY_MONTHS if length >= seen]
    after = seen + np.arange(HORIZON_MONTHS)
    share: np.ndarray = np.mean([after >= length for length in lengths], axis=0)
    return USAGE_DECAYED * share


def _looks_failing(customer: Customer, life: Life, calendar: Calendar, month: int) -> bool:
    """Whether the newest charge was declined as the first of a payment that fails is."""
    on = calendar.day(month - 1, customer.anchor_day)
    looks_so = (on, on + timedelta(days=FIRST_DECLINE_DAYS), SOFT_CODES[customer.method])
    return any((one.from_on, one.until_on, one.outcome) == looks_so for one in life.declines)


def _may_fail(customer: Customer) -> float:
    """The share whose payments will fail one day, of those that pay for themselves and not by transfer."""
    share = PAYMENT_FAILURE_SHARE / (1 - TREE_SHARE)
    return share / (share + (1 - share) * (1 - TRANSFER_SHARE)) if customer.is_charged else 0.0


def _may_hurt(customer: Customer) -> float:
    return 0.0 if customer.has_term else SUPPORT_PAIN_SHARE / (1 - TERM_SHARE)


def _begins(share: float, customer: Customer, calendar: Calendar, month: int) -> float:
    """P(a cause that lies in wait for a share begins in `month`), where it has not begun before."""
    first = customer.start_month + SETTLED_MONTHS
    months = max(calendar.months - first, 1)
    if not first <= month < first + months:
        return 0.0
    return (share / months) / (1 - share * (month - first) / months)
