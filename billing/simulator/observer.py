"""How likely an end within 90 days is to who knows the company, but of each customer only what shows.

The observer knows how the company works and every parameter of it. Of a customer it knows, on the eve of a
month, what is on record by then: start, term, quantity and the way it pays; each count of its use; tickets
and complaints about deliveries; charges declined and recovered; a wallet, a voucher or a term that waits to
be accepted, which nobody has who cannot pay; price rises, pauses, the reason it left for and that it came
back; and that no cause has ended it so far. Bayes' rule makes of this how likely it is that the customer is
noise, that its use has begun to shrink, when and for how long, that deliveries have begun to pain it, that
its payments have begun to fail. Who sees no more does better by luck alone.

Causes begin, show and strike independently of one another. So each is weighed by itself, and what counts of
it is its mean hazard over the states it may be in.

Assumed:
- Where the simulated world ends is unknown on the day, though its causes are spread up to there. A cause that
  lies in wait begins with the chance that the company's customers of that age have on the mean. Those who
  come late have less time for it, so it begins sooner: in the last of three years about 3 % more customers
  end than the observer expects.
- The rounding of counts and of quantities is noise of their size.
- Credits and goodwill for deliveries are not read: complaints come sooner and say the same.
- Who leaves and comes back was, in the month it left, what was known on the eve of that month.
- A pause counts as if it outlasted the 90 days, as in `foresight`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from billing.simulator.agreements import Agreements, agreements_of, can_surely_pay, unsure_share
from billing.simulator.causes import (
    BASE,
    DECAY_A_MONTH,
    DECLINE_MONTHS,
    NOISE_FACTOR,
    PAIN_MONTHS,
    SUPPORT_MONTHS,
    SUPPORT_PAINED,
    TICKET_FACTOR,
    USAGE_DECAYED,
    Cause,
    price_hazards,
)
from billing.simulator.crm import COMPLAINTS_A_MONTH, COMPLAINTS_PAINED, TICKETS_A_MONTH, signs_of_pain
from billing.simulator.foresight import HORIZON_MONTHS, ended, may_fail, may_hurt
from billing.simulator.life import (
    DECLINE,
    FIRST_DECLINE_DAYS,
    HARD_SHARE,
    LONG_DECLINE_DAYS,
    LOST_SHARE,
    SHORT_DECLINES,
    SOFT_CODES,
    UNPAUSED_MONTHS,
    Life,
    pause_share,
    reason_share,
    skip_price_rises,
)
from billing.simulator.population import (
    DECAY_MONTHS,
    NOISE_SHARE,
    REFILLS_PER_BOX,
    REFILLS_SPREAD,
    SETTLED_MONTHS,
    TERM_SHARE,
    USAGE_DECAY_SHARE,
    Calendar,
    Customer,
    arrival_shares,
)
from billing.simulator.usage import DAYS_A_MONTH, NOISE, Counts

HORIZON = np.arange(HORIZON_MONTHS)
SOFT = DECLINE * (1 - HARD_SHARE - LOST_SHARE)
"""How often a charge that means nothing is declined as those are that announce a failure."""
ROUNDING = 1 / 12
"""The variance of what rounding to whole numbers adds."""
GRAVEST_FIRST = (Cause.USAGE, Cause.SUPPORT, Cause.NOISE, Cause.PRICE, Cause.BASE)
"""Of the causes that fire in a month, the first of these gives the reason."""


Chances = Callable[[float], np.ndarray]
"""Of a cause that strikes a share one day: how likely it begins at an age in months, where it has not."""


class Signs(NamedTuple):
    """What shows of all customers: counts of use, by customer and month tickets and complaints, and what
    each agreed."""

    counts: Counts
    tickets: np.ndarray
    complaints: np.ndarray
    agreements: Sequence[Agreements]


class Use(NamedTuple):
    """Counts by the month they are of, in order of the days they are read on: the log of each beside what a
    customer of the size uses on the mean, and its weight, which is 0 where nothing was counted."""

    read_on: np.ndarray
    month: np.ndarray
    level: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True)
class Record:
    """What is on record of a customer, by month. Of a day only what lies before it is read.

    `lived`: whether it was at risk and stayed. `pained` and `unpaused`: by how much what came in speaks for
    deliveries that pain it, and for payments about to fail, since who is about to fail does not pause (logs
    of ratios of likelihoods). `declined`: for how many days its charge was, and the code.
    `pauses`: (the month it paused in, the month it was back). `left`: (the month, the reason given).
    """

    customer: Customer
    life: Life
    calendar: Calendar
    chances: Chances
    agreed: Agreements
    use: Use
    lived: np.ndarray
    pained: np.ndarray
    unpaused: np.ndarray
    declined: dict[int, tuple[int, str]]
    failed_on: date
    pauses: list[tuple[int, int]]
    left: list[tuple[int, str]]
    returned: list[int]

    def stayed(self, first: np.ndarray, until: np.ndarray) -> np.ndarray:
        """In how many months of [first, until) it was at risk and stayed."""
        total = np.concatenate([[0], np.cumsum(self.lived)])
        months: np.ndarray = total[until] - total[np.minimum(first, until)]
        return months


def p_90_shown(record: Record, month: int) -> float:
    """P(end within 90 days) of a customer in service and without notice on the eve of a month, by what shows
    until then."""
    if record.failed_on < record.calendar.day(month):
        return 1.0
    hazards, fails = _planted(record, month)
    hazards[:, Cause.BASE] = _mean_hazards(*_noise(record, month))
    return ended(record.customer, record.calendar, month, hazards, fails)[0]


def signs_of(
    seed: int, customers: Sequence[Customer], lives: Sequence[Life], calendar: Calendar, counts: Counts
) -> Signs:
    """What shows of the customers of a world whose use is counted."""
    agreed = [agreements_of(seed, one, life, calendar) for one, life in zip(customers, lives, strict=True)]
    return Signs(counts, *signs_of_pain(seed, customers, lives, calendar), agreed)


def chances_in(calendar: Calendar) -> Chances:
    """The chances that causes begin in a company: the mean of the customers whom it has at an age, whenever
    they came. Where nobody is so old it is that of the oldest."""
    arrived = np.diff(arrival_shares(calendar), prepend=0.0)[:, None]
    start, age = np.ogrid[: calendar.months, : calendar.months]
    months = np.maximum(calendar.months - start - SETTLED_MONTHS, 1)
    there = arrived * (start + age < calendar.months)

    @cache
    def chances(share: float) -> np.ndarray:
        begins = there * share / months * (age >= SETTLED_MONTHS)
        waits = there * (1 - share * np.clip(age - SETTLED_MONTHS, 0, months) / months)
        return np.pad(begins.sum(axis=0) / waits.sum(axis=0), (0, HORIZON_MONTHS), mode="edge")

    return chances


def record_of(
    customer: Customer, life: Life, calendar: Calendar, signs: Signs, row: int, chances: Chances
) -> Record:
    """The record of the customer in a row of the signs."""
    left = {calendar.number(day): _reason(life, day) for day in life.left_on}
    away = {
        calendar.number(gone): calendar.number(back)
        for (_, gone), (back, _) in pairwise(life.served)
        if gone is not None
    }
    pauses = {month: back for month, back in away.items() if month not in left}
    lived = np.array([month in life.at_risk and month not in left for month in range(calendar.months)])
    return Record(
        customer,
        life,
        calendar,
        chances,
        signs.agreements[row],
        _use(customer, calendar, signs.counts, row),
        lived,
        _pained(life, calendar, signs.tickets[row], signs.complaints[row]),
        np.array(
            [_unpaused(customer, calendar, month, pauses) if one else 0.0 for month, one in enumerate(lived)]
        ),
        {
            calendar.number(one.from_on): ((one.until_on - one.from_on).days, one.outcome)
            for one in life.declines
        },
        next((one.from_on for one in life.declines if one.until_on == date.max), date.max),
        sorted(pauses.items()),
        sorted(left.items()),
        sorted(back for month, back in away.items() if month in left),
    )


def _reason(life: Life, left_on: date) -> str:
    """The reason given for a leaving; none by who does not pay."""
    return next((act.reason for act in life.acts if act.reason and act.effective_on == left_on), "")


def _use(customer: Customer, calendar: Calendar, counts: Counts, row: int) -> Use:
    days, values = counts.starts[:-1].astype(date), counts.values[row]
    month = np.array([calendar.number(day) for day in days])
    lengths = np.diff(counts.starts).astype(np.int64)
    season = np.array([calendar.season(one) for one in month])
    usual = customer.quantity * REFILLS_PER_BOX * season * lengths / DAYS_A_MONTH
    counted = np.maximum(values, 1)
    weight = (values > 0) / (NOISE**2 + ROUNDING / counted**2)
    return Use(counts.starts[1:], month, np.log(counted / usual), weight)


def _pained(life: Life, calendar: Calendar, tickets: np.ndarray, complaints: np.ndarray) -> np.ndarray:
    """What tickets and complaints say, on the days in service of each month."""
    served = _served_share(life, calendar)
    more = TICKETS_A_MONTH * (TICKET_FACTOR - 1) + COMPLAINTS_PAINED - COMPLAINTS_A_MONTH
    evidence: np.ndarray = (
        tickets * np.log(TICKET_FACTOR)
        + complaints * np.log(COMPLAINTS_PAINED / COMPLAINTS_A_MONTH)
        - served * more
    )
    return evidence


def _served_share(life: Life, calendar: Calendar) -> np.ndarray:
    """In which part of each month the customer had service."""
    bounds = np.array([calendar.day(month).toordinal() for month in range(calendar.months + 1)])
    days = np.zeros(calendar.months)
    for start, end in life.served:
        until = np.minimum(bounds[1:], (end or date.max).toordinal())
        days += np.maximum(until - np.maximum(bounds[:-1], start.toordinal()), 0)
    share: np.ndarray = days / np.diff(bounds)
    return share


def _unpaused(customer: Customer, calendar: Calendar, month: int, pauses: Container[int]) -> float:
    """What a month says for payments that are about to fail: nobody pauses then."""
    if customer.has_term:
        return 0.0
    return -np.inf if month in pauses else -float(np.log1p(-pause_share(calendar, month)))


def _planted(record: Record, month: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean hazards in the months of the horizon of all causes that show, and the chances that their
    charges fail."""
    hazards, fails = np.zeros((HORIZON_MONTHS, len(Cause))), np.zeros(HORIZON_MONTHS)
    is_free, is_charged = not record.customer.has_term, record.customer.is_charged
    if is_free:
        hazards[:, Cause.PRICE] = _price(record, month)
    if not any(back < month for back in record.returned):
        if is_free:
            hazards[:, Cause.USAGE] = _mean_hazards(*_decay(record, month))
            hazards[:, Cause.SUPPORT] = _mean_hazards(*_pain(record, month))
        if is_charged:
            fails = _mean_hazards(*_failure(record, month))
    return hazards, fails


def _mean_hazards(log_weights: np.ndarray, hazards: np.ndarray) -> np.ndarray:
    """The hazards month by month of who may be in any of several states. hazards: states × months."""
    weights = np.exp(log_weights - log_weights.max())
    there = weights @ np.cumprod(1 - hazards, axis=1) / weights.sum()
    mean: np.ndarray = 1 - there / np.concatenate([[1.0], there[:-1]])
    return mean


def _begun(chances: np.ndarray, until: int) -> tuple[np.ndarray, float]:
    """Logs of the chances that a cause begins at each age it may begin at before `until`, and at none."""
    waits = np.concatenate([[0.0], np.cumsum(np.log1p(-chances[:until]))])
    with np.errstate(divide="ignore"):
        return np.log(chances[SETTLED_MONTHS:until]) + waits[SETTLED_MONTHS:until], float(waits[until])


def _noise(record: Record, month: int) -> tuple[np.ndarray, np.ndarray]:
    """States: base or noise. Who stays long is hardly noise; who left for no cause that showed rather is."""
    states = {Cause.BASE: BASE, Cause.NOISE: BASE * NOISE_FACTOR}
    hazards = np.array(list(states.values()))
    weights = np.log([1 - NOISE_SHARE, NOISE_SHARE]) + record.lived[:month].sum() * np.log1p(-hazards)
    for left_in, reason in record.left:
        if left_in < month:
            planted = _planted(record, left_in)[0][0]
            weights += np.log([_left_for(reason, planted, *state) for state in states.items()])
    return weights, np.repeat(hazards[:, None], HORIZON_MONTHS, axis=1)


def _left_for(reason: str, planted: np.ndarray, base: Cause, hazard: float) -> float:
    """How likely it is to leave in a month and give a reason, by the hazards of what is planted and of base
    or noise."""
    fires = planted.copy()
    fires[base] = hazard
    there, chance = 1.0, 0.0
    for cause in GRAVEST_FIRST:
        chance += there * fires[cause] * reason_share(cause, reason)
        there *= 1 - fires[cause]
    return chance


def _decay(record: Record, month: int) -> tuple[np.ndarray, np.ndarray]:
    """States: use that shrinks since a month, for so many months, and use that does not yet."""
    start = record.customer.start_month
    began, waits = _begun(record.chances(USAGE_DECAY_SHARE / (1 - TERM_SHARE)), month - start)
    since = np.repeat(start + SETTLED_MONTHS + np.arange(len(began)), len(DECAY_MONTHS))
    lasts = np.tile(DECAY_MONTHS, len(began))
    weights = (
        np.repeat(began, len(DECAY_MONTHS))
        - np.log(len(DECAY_MONTHS))
        + _shrunk(record, month, since, lasts)
        + record.stayed(since + lasts, np.array(month)) * np.log1p(-USAGE_DECAYED)
    )
    strikes = month + HORIZON >= (since + lasts)[:, None]
    return np.append(weights, waits), USAGE_DECAYED * np.vstack([strikes, np.zeros(HORIZON_MONTHS)])


def _shrunk(record: Record, month: int, since: np.ndarray, lasts: np.ndarray) -> np.ndarray:
    """How much more likely the counts are where use shrinks since a month, for so many, than where it does
    not (logs). How much a customer uses before is normal (in logs) around what its size does, and unknown."""
    read = slice(np.searchsorted(record.use.read_on, np.datetime64(record.calendar.day(month))))
    level, weight = record.use.level[read], record.use.weight[read]
    fall = np.log(DECAY_A_MONTH) * np.clip(record.use.month[read] - since[:, None] + 1, 0, lasts[:, None])
    precision = weight.sum() + 1 / (REFILLS_SPREAD**2 + ROUNDING / record.customer.quantity**2)
    sum_before, sum_after = weight @ level, (level - fall) @ weight
    evidence: np.ndarray = (
        fall @ (weight * level) - fall**2 @ weight / 2 + (sum_after**2 - sum_before**2) / (2 * precision)
    )
    return evidence


def _pain(record: Record, month: int) -> tuple[np.ndarray, np.ndarray]:
    """States: pain that begins in a month up to this one, and later or never."""
    start = record.customer.start_month
    began, waits = _begun(record.chances(may_hurt(record.customer)), month - start + 1)
    since = start + SETTLED_MONTHS + np.arange(len(began))
    shown = np.concatenate([[0.0], np.cumsum(record.pained[:month])])
    strikes_from, strikes_until = since + PAIN_MONTHS, since + PAIN_MONTHS + SUPPORT_MONTHS
    weights = (
        began
        + shown[np.minimum(strikes_from, month)]
        - shown[since]
        + record.stayed(strikes_from, np.minimum(strikes_until, month)) * np.log1p(-SUPPORT_PAINED)
    )
    at = month + HORIZON
    strikes = (at >= strikes_from[:, None]) & (at < strikes_until[:, None])
    return np.append(weights, waits), SUPPORT_PAINED * np.vstack([strikes, np.zeros(HORIZON_MONTHS)])


def _failure(record: Record, month: int) -> tuple[np.ndarray, np.ndarray]:
    """States: payments that begin to fail in a month near this one, and later or never."""
    start = record.customer.start_month
    began, waits = _begun(
        record.chances(_may_fail(record, month)), month - start + UNPAUSED_MONTHS - DECLINE_MONTHS
    )
    since = start + SETTLED_MONTHS + np.arange(len(began))
    near = since >= month - DECLINE_MONTHS
    weights = began[near] + [_failing(record, month, int(one)) for one in since[near]]
    fails = month + HORIZON == since[near, None] + DECLINE_MONTHS
    return np.append(weights, waits), np.vstack([fails, np.zeros(HORIZON_MONTHS)])


def _may_fail(record: Record, month: int) -> float:
    """The share whose payments will fail one day, of those like it: none with what only who can pay has."""
    before = record.calendar.day(month)
    if can_surely_pay(record.agreed, before):
        return 0.0
    share = may_fail(record.customer)
    return share / (share + (1 - share) * unsure_share(record.customer, record.life, record.calendar, before))


def _failing(record: Record, month: int, since: int) -> float:
    """How much more likely the charges and pauses are where payments begin to fail in a month (log)."""
    code = SOFT_CODES[record.customer.method]
    evidence = float(record.unpaused[max(since + DECLINE_MONTHS - UNPAUSED_MONTHS, 0) : month].sum())
    for declined_in, days, share in (
        (since, FIRST_DECLINE_DAYS, SOFT * SHORT_DECLINES),
        (since + 1, LONG_DECLINE_DAYS, SOFT * (1 - SHORT_DECLINES)),
    ):
        if declined_in < month:
            looks_so = record.declined.get(declined_in) == (days, code)
            evidence += -float(np.log(share)) if looks_so else -np.inf
    return evidence


def _price(record: Record, month: int) -> np.ndarray:
    """The hazards of the price rises that it has seen, and will see, since it came or came back."""
    since = max([record.customer.start_month, *(back for back in record.returned if back < month)])
    hazards = _price_hazards(since, record.calendar).copy()
    for paused_in, back in record.pauses:
        if since < paused_in and back < month:
            skip_price_rises(hazards, record.calendar, paused_in, back)
    return hazards[month + HORIZON]


_price_hazards = cache(price_hazards)
