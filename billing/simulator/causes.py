"""Why simulated customers leave: the causes and their monthly hazards.

| cause | strikes | monthly hazard | visible before |
|---|---|---|---|
| base | all | 0.4 % | nothing |
| noise | 5 % of customers, instead of base | base x 5 | nothing |
| term | 60 %, with a contract | 12 % in the month of a term's end, decided 60 days before | the term's end |
| payment | 10 % | certain, in the month its dunning ends | two months of declines that rise |
| usage | 15 %, free to go | 10 % once usage has shrunk by 15 % a month for 4 to 6 months | the usage trend |
| support | 8 %, free to go | 6 % for 3 months, after 2 of fourfold tickets and short deliveries | tickets |
| price | free to go | 0.5 % per 1 % of rise, for the 3 months after an index date | the price version |

"Free to go" are the 40 % without a term: a commitment holds the others, whom only base, noise, a term's end
or their payments can end. Causes act independently, so a month's hazard is 1 - product(1 - h_k) over its
causes: each is drawn by itself, and the month ends the customer when any of them fires.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import IntEnum

import numpy as np

from billing.simulator.population import ACT_DAYS, Calendar, Customer

BASE = 0.004
NOISE_FACTOR = 5
TERM_END = 0.12
NOTICE_DAYS = 60
DECAY_A_MONTH = 0.85
USAGE_DECAYED = 0.10
TICKET_FACTOR = 4
PAIN_MONTHS = 2
SUPPORT_PAINED = 0.06
SUPPORT_MONTHS = 3
PRICE_PER_PERCENT = 0.005
PRICE_MONTHS = 3
DECLINE_MONTHS = 2
DUNNING_DAYS = 21

INDEX_MONTH = 4
# Rise of the list prices in percent, by turns, at each index date (the anchor of every April).
RISES_PERCENT = (4, 3, 3.5)


class Cause(IntEnum):
    """A cause of leaving; the value is its column in the hazards of a customer."""

    BASE = 0
    NOISE = 1
    TERM = 2
    PAYMENT = 3
    USAGE = 4
    SUPPORT = 5
    PRICE = 6

    @property
    def word(self) -> str:
        return self.name.lower()


def combined(hazards: np.ndarray) -> np.ndarray:
    """The hazard of leaving for any cause: 1 - product(1 - h_k) over the last axis."""
    whole: np.ndarray = 1.0 - np.prod(1.0 - hazards, axis=-1)
    return whole


def rise_percent(calendar: Calendar, month: int) -> float:
    """By how much list prices rise in `month`, in percent; 0 where it holds no index date."""
    day = calendar.day(month)
    if day.month != INDEX_MONTH or month == 0:
        return 0.0
    return RISES_PERCENT[(day.year - calendar.first_day.year) % len(RISES_PERCENT)]


def term_ends(customer: Customer, calendar: Calendar) -> list[date]:
    """The ends of the customer's terms, up to three months past the world's last month."""
    if not customer.has_term:
        return []
    first = customer.start_month + customer.term_months
    months = range(first, calendar.months + 3, customer.term_months)
    return [calendar.day(month, customer.anchor_day) for month in months]


def notice_on(term_end: date) -> date:
    """The last act day that keeps the notice period."""
    day = term_end - timedelta(days=NOTICE_DAYS)
    while day.day not in ACT_DAYS:
        day -= timedelta(days=1)
    return day


def payment_failure(customer: Customer, calendar: Calendar) -> tuple[date, date] | None:
    """(the charge that never succeeds, the day its dunning ends), or None for customers who can pay."""
    if customer.causes.payment_from is None:
        return None
    fails_on = calendar.day(customer.causes.payment_from + DECLINE_MONTHS, customer.anchor_day)
    return fails_on, fails_on + timedelta(days=DUNNING_DAYS)


def hazards(customer: Customer, calendar: Calendar) -> np.ndarray:
    """Monthly hazard by cause were the customer to stay: months of the world and three more × causes."""
    months = calendar.months + 3
    table = np.zeros((months, len(Cause)))
    causes = customer.causes
    if causes.is_noise:
        table[:, Cause.NOISE] = BASE * NOISE_FACTOR
    else:
        table[:, Cause.BASE] = BASE
    for end in term_ends(customer, calendar):
        table[calendar.number(end), Cause.TERM] = TERM_END
    failure = payment_failure(customer, calendar)
    if failure is not None and calendar.number(failure[1]) < months:
        table[calendar.number(failure[1]), Cause.PAYMENT] = 1.0
    if causes.decay_from is not None:
        table[causes.decay_from + causes.decay_months :, Cause.USAGE] = USAGE_DECAYED
    if causes.support_from is not None:
        first = causes.support_from + PAIN_MONTHS
        table[first : first + SUPPORT_MONTHS, Cause.SUPPORT] = SUPPORT_PAINED
    if not customer.has_term:
        table[:, Cause.PRICE] = price_hazards(customer.start_month, calendar)
    return table


def price_hazards(start_month: int, calendar: Calendar) -> np.ndarray:
    """Hazard of a price rise by month, for someone who was there when the prices rose."""
    months = calendar.months + 3
    column = np.zeros(months)
    for month in range(start_month + 1, months):
        rise = rise_percent(calendar, month)
        column[month + 1 : month + 1 + PRICE_MONTHS] += PRICE_PER_PERCENT * rise
    return column


def usage_levels(customer: Customer, calendar: Calendar) -> np.ndarray:
    """Refills a month before season and chance: level until decay begins, then 15 % less each month."""
    months = np.arange(calendar.months + 1)
    since = customer.causes.decay_from
    if since is None:
        return np.full(len(months), customer.refills)
    decayed = np.clip(months - since + 1, 0, customer.causes.decay_months)
    levels: np.ndarray = customer.refills * DECAY_A_MONTH**decayed
    return levels


def ticket_factors(customer: Customer, calendar: Calendar) -> np.ndarray:
    """How many times the usual tickets a customer opens, by month."""
    factors = np.ones(calendar.months)
    since = customer.causes.support_from
    if since is not None:
        factors[since : since + PAIN_MONTHS] = TICKET_FACTOR
    return factors
