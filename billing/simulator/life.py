"""What a simulated customer does and suffers, month by month: a pure plan of dated acts.

A life is decided from the customer, its hazards and its own random numbers; nothing is written here.
`world` then lets the engine carry the acts out in order of their days. Each month runs the same way: the
month's signals are there, the causes draw, and only who stays and has given no notice changes something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

import numpy as np

from billing.simulator.causes import (
    DECLINE_MONTHS,
    TERM_END,
    Cause,
    hazards,
    notice_on,
    payment_failure,
    price_hazards,
    rise_percent,
    term_ends,
    usage_levels,
)
from billing.simulator.population import ACT_DAYS, TIERS, Calendar, Customer, Topic, stream

ActKind = Literal[
    "subscribe",
    "quantity",
    "plan",
    "add_on",
    "price",
    "method",
    "pause",
    "resume",
    "notice",
    "cancel",
    "reactivate",
]

PAUSE = 0.006
PAUSE_IN_AUGUST = 4
# Nobody pauses so near a payment that fails.
UNPAUSED_MONTHS = DECLINE_MONTHS + 3
TRIAL_LOST = 0.22
RETURN = 0.22
QUANTITY_UP = 0.030
QUANTITY_DOWN = 0.017
UPGRADE = 0.006
DOWNGRADE = 0.003
ADD_ON = 0.010
DECLINE = 0.024
HARD_SHARE = 0.12
LOST_SHARE = 0.10
SHORT_DECLINES = 0.75
FIRST_DECLINE_DAYS = 2
LONG_DECLINE_DAYS = 7

ADD_ONS = ("hygiene", "packaging", "safety")
SOFT_CODES = {"card": "insufficient_funds", "direct_debit": "insufficient_funds"}
HARD_CODES = {"card": "stolen_card", "direct_debit": "mandate_revoked"}
REASONS = {
    Cause.BASE: ("other", "closed_business", "unused"),
    Cause.NOISE: ("other", "closed_business", "unused"),
    Cause.TERM: ("switched", "too_expensive", "other"),
    Cause.USAGE: ("unused", "switched", "other"),
    Cause.SUPPORT: ("service", "switched", "other"),
    Cause.PRICE: ("too_expensive", "switched", "other"),
}
TRIAL_LOST_REASON = "missing_features"


@dataclass(frozen=True)
class Act:
    """One act of one customer on one day. Only the fields its kind needs are set."""

    on: date
    kind: ActKind
    customer: int
    quantity: int = 0
    tier: int = 0
    add_on: str = ""
    effective_on: date | None = None
    reason: str = ""


@dataclass(frozen=True)
class Decline:
    """What the gateway answers to every charge on a day in [from_on, until_on): a code, or `unknown`."""

    from_on: date
    until_on: date
    outcome: str


@dataclass
class Life:
    """One customer's life. `served` are half-open stretches of paid or trial service, pauses left out."""

    hazards: np.ndarray
    usage: np.ndarray
    acts: list[Act] = field(default_factory=list)
    declines: list[Decline] = field(default_factory=list)
    served: list[tuple[date, date | None]] = field(default_factory=list)
    at_risk: set[int] = field(default_factory=set)
    ended: dict[int, Cause] = field(default_factory=dict)
    renewed: list[date] = field(default_factory=list)
    left_on: list[date] = field(default_factory=list)


def live(seed: int, customer: Customer, calendar: Calendar) -> Life:
    """The life of a customer, to the end of the world. Pure: same arguments, same life."""
    life = Life(hazards(customer, calendar), usage_levels(customer, calendar))
    months = calendar.months + 3
    _Planner(
        customer,
        calendar,
        life,
        draws=stream(seed, Topic.HAZARDS, customer.number).random((months, len(Cause))),
        changes=stream(seed, Topic.CHANGES, customer.number).random((months, 10)),
    ).run()
    _decline_now_and_then(seed, customer, calendar, life)
    _renew_cards(customer, calendar, life)
    life.acts = [act for act in life.acts if act.on <= calendar.last_day]
    life.acts.sort(key=lambda act: act.on)
    return life


class _Planner:
    """Walks one customer through the months; holds what the walk must remember from month to month."""

    def __init__(
        self, customer: Customer, calendar: Calendar, life: Life, draws: np.ndarray, changes: np.ndarray
    ) -> None:
        self.customer = customer
        self.calendar = calendar
        self.life = life
        self.draws = draws
        self.changes = changes
        self.quantity = customer.quantity
        self.tier = customer.tier
        self.add_ons: set[str] = set()
        self.since = customer.starts_on
        self.quiet_until = customer.start_month + 1
        self.failure = payment_failure(customer, calendar)

    def run(self) -> None:
        customer, calendar = self.customer, self.calendar
        self._act(customer.starts_on, "subscribe", quantity=self.quantity, tier=self.tier)
        if customer.trial_days and self.changes[customer.start_month][0] < TRIAL_LOST:
            ends_on = customer.anchor_on
            self._leave(ends_on - timedelta(days=4), ends_on, TRIAL_LOST_REASON)
            return
        self._announce_failure()
        month = customer.start_month + 1
        while month < calendar.months:
            after = self._live_month(month)
            if after is None:
                return
            month = after
        self.life.served.append((self.since, None))

    def _live_month(self, month: int) -> int | None:
        """Live one month that begins in service; answers the next month to live, None when life is over."""
        life, calendar = self.life, self.calendar
        life.at_risk.add(month)
        fired = [
            cause
            for cause in Cause
            if cause not in (Cause.TERM, Cause.PAYMENT)
            and self.draws[month][cause] < life.hazards[month][cause]
        ]
        anchor = calendar.day(month, self.customer.anchor_day)
        if fired:
            cause = max(fired, key=lambda one: float(life.hazards[month][one]))
            life.ended[month] = cause
            self._leave(anchor - timedelta(days=4), anchor, self._reason(month, cause))
            return self._return(month)
        if self.failure is not None and calendar.number(self.failure[0]) == month:
            self._fail_to_pay()
            return None
        for end in term_ends(self.customer, calendar):
            decided_on = notice_on(end)
            if calendar.number(decided_on) != month:
                continue
            ends_in = calendar.number(end)
            if self.draws[ends_in][Cause.TERM] < TERM_END:
                if ends_in < calendar.months:
                    life.ended[ends_in] = Cause.TERM
                self._leave(decided_on, end, self._reason(month, Cause.TERM), kind="notice")
                return None
            life.renewed.append(end)
        pauses = self.changes[month][1] < pause_share(calendar, month)
        if not self.customer.has_term and pauses and not self._declines_near(month):
            return self._pause(month, anchor)
        self._change(month)
        return month + 1

    def _leave(self, on: date, ends_on: date, reason: str, kind: ActKind = "cancel") -> None:
        self._act(on, kind, effective_on=ends_on, reason=reason)
        self._stop(ends_on)

    def _stop(self, on: date) -> None:
        self.life.served.append((self.since, on))
        self.life.left_on.append(on)

    def _return(self, month: int) -> int | None:
        """Some who were free to go come back after 2 to 8 months, for good reasons of their own."""
        if self.customer.has_term or self.changes[month][2] >= RETURN:
            return None
        back = month + 2 + int(self.changes[month][3] * 7)
        if back >= self.calendar.months:
            return None
        on = self.calendar.day(back, self.customer.anchor_day)
        self._act(on, "reactivate", quantity=self.quantity, tier=self.tier)
        self.since = on
        self.quiet_until = back + 2
        self.add_ons.clear()
        self.failure = None
        table = self.life.hazards
        base = Cause.NOISE if self.customer.causes.is_noise else Cause.BASE
        for cause in Cause:
            if cause is not base:
                table[back + 1 :, cause] = 0.0
        table[back + 1 :, Cause.PRICE] = price_hazards(back, self.calendar)[back + 1 :]
        self.life.usage[back:] = self.customer.refills
        return back + 1

    def _announce_failure(self) -> None:
        """Two months of declines before the failure: still recovered, but later each time."""
        if self.failure is None:
            return
        month = self.calendar.number(self.failure[0])
        for ahead, days in ((DECLINE_MONTHS, FIRST_DECLINE_DAYS), (1, LONG_DECLINE_DAYS)):
            first = self.calendar.day(month - ahead, self.customer.anchor_day)
            code = SOFT_CODES[self.customer.method]
            self.life.declines.append(Decline(first, first + timedelta(days=days), code))

    def _fail_to_pay(self) -> None:
        assert self.failure is not None
        fails_on, ends_on = self.failure
        codes = HARD_CODES if self.customer.causes.is_payment_hard else SOFT_CODES
        self.life.declines.append(Decline(fails_on, date.max, codes[self.customer.method]))
        ends_in = self.calendar.number(ends_on)
        if ends_in < self.calendar.months:
            self.life.ended[ends_in] = Cause.PAYMENT
            self.life.at_risk.add(ends_in)
        self._stop(ends_on)

    def _declines_near(self, month: int) -> bool:
        if self.failure is None:
            return False
        return abs(self.calendar.number(self.failure[0]) - month) <= UNPAUSED_MONTHS

    def _pause(self, month: int, anchor: date) -> int | None:
        until = month + 1 + int(self.changes[month][4] * 3)
        back_on = self.calendar.day(until, self.customer.anchor_day)
        self._act(anchor - timedelta(days=4), "pause", effective_on=anchor)
        self.life.served.append((self.since, anchor))
        self.since = back_on
        if until >= self.calendar.months:
            return None
        self._act(back_on, "resume")
        self.quiet_until = until + 1
        skip_price_rises(self.life.hazards[:, Cause.PRICE], self.calendar, month, until)
        return until + 1

    def _change(self, month: int) -> None:
        """At most one change a month, on an act day after the month began."""
        if not self.customer.has_term and rise_percent(self.calendar, month):
            self._act(self.calendar.day(month), "price", tier=self.tier)
            return
        if month < self.quiet_until:
            return
        u = self.changes[month]
        on = self.calendar.day(month, ACT_DAYS[int(u[5] * len(ACT_DAYS))])
        season = self.calendar.season(month)
        at = u[6]
        for share, change in (
            (QUANTITY_UP * season**2, self._more),
            (QUANTITY_DOWN / season**2, self._less),
            (UPGRADE, self._upgrade),
            (DOWNGRADE, self._downgrade),
            (ADD_ON, self._add_on),
        ):
            if at < share:
                change(month, on, float(u[7]))
                return
            at -= share

    def _more(self, month: int, on: date, at: float) -> None:
        self.quantity = max(self.quantity + 1, round(self.quantity * (1.05 + 0.25 * at)))
        self._act(on, "quantity", quantity=self.quantity)

    def _less(self, month: int, on: date, at: float) -> None:
        lower = min(self.quantity - 1, round(self.quantity * (0.95 - 0.30 * at)))
        if lower >= 1:
            self.quantity = lower
            self._act(on, "quantity", quantity=self.quantity)

    def _upgrade(self, month: int, on: date, at: float) -> None:
        if self.tier + 1 < len(TIERS):
            self.tier += 1
            self._act(on, "plan", tier=self.tier)
            self.quiet_until = month + 3

    def _downgrade(self, month: int, on: date, at: float) -> None:
        """Takes effect at the end of the period, a year for some; until then nothing else changes."""
        if self.tier > 0:
            self.tier -= 1
            self._act(on, "plan", tier=self.tier)
            self.quiet_until = month + (15 if self.customer.is_yearly else 3)

    def _add_on(self, month: int, on: date, at: float) -> None:
        left = [name for name in ADD_ONS if name not in self.add_ons]
        if left:
            name = left[int(at * len(left))]
            self.add_ons.add(name)
            quantity = 1 if name == "hygiene" else max(1, round(self.quantity * 0.4))
            self._act(on, "add_on", add_on=name, quantity=quantity)

    def _reason(self, month: int, cause: Cause) -> str:
        return reason_at(cause, float(self.changes[month][8]))

    def _act(
        self,
        on: date,
        kind: ActKind,
        *,
        quantity: int = 0,
        tier: int = 0,
        add_on: str = "",
        effective_on: date | None = None,
        reason: str = "",
    ) -> None:
        self.life.acts.append(
            Act(on, kind, self.customer.number, quantity, tier, add_on, effective_on, reason)
        )


def _decline_now_and_then(seed: int, customer: Customer, calendar: Calendar, life: Life) -> None:
    """Declines that mean nothing: a retry succeeds after 1, 2 or 7 days, or a new method after 2."""
    if not customer.is_charged:
        return
    u = stream(seed, Topic.PAYMENTS, customer.number).random((calendar.months, 3))
    fails_on = next((decline.from_on for decline in life.declines if decline.until_on == date.max), date.max)
    meant = {decline.from_on for decline in life.declines}
    for month in np.flatnonzero(u[:, 0] < DECLINE):
        first = calendar.day(int(month), customer.anchor_day)
        if first >= fails_on or first in meant or not is_served(life, first):
            continue
        days = FIRST_DECLINE_DAYS if u[month, 2] < SHORT_DECLINES else LONG_DECLINE_DAYS
        outcome = SOFT_CODES[customer.method]
        if u[month, 1] < HARD_SHARE and is_served(life, first + timedelta(days=2)):
            days, outcome = 2, HARD_CODES[customer.method]
            life.acts.append(Act(first + timedelta(days=2), "method", customer.number))
        elif u[month, 1] > 1 - LOST_SHARE:
            days, outcome = 1, "timeout" if u[month, 2] < 0.5 else "unknown"
        life.declines.append(Decline(first, first + timedelta(days=days), outcome))


def _renew_cards(customer: Customer, calendar: Calendar, life: Life) -> None:
    """A card that runs out is replaced in its last month; by who pauses or has left then, on coming back."""
    if customer.card_expires_on is None or not customer.is_charged:
        return
    on = customer.card_expires_on.replace(day=ACT_DAYS[-1])
    fails_on = next((decline.from_on for decline in life.declines if decline.until_on == date.max), date.max)
    if not is_served(life, on):
        on = next((start for start, _ in life.served if start > on), date.max)
    if on < fails_on:
        life.acts.append(Act(on, "method", customer.number))


def skip_price_rises(hazards: np.ndarray, calendar: Calendar, month: int, until: int) -> None:
    """Who pauses over an index date keeps the old prices, and with them has no reason to leave: sets the
    hazards of a price rise by month to 0."""
    if any(rise_percent(calendar, one) for one in range(month, until + 1)):
        hazards[month + 1 : until + 6] = 0.0


def pause_share(calendar: Calendar, month: int) -> float:
    """How many of those free to go pause from a month on."""
    return PAUSE * (PAUSE_IN_AUGUST if calendar.day(month).month == 8 else 1)


def reason_at(cause: Cause, at: float) -> str:
    """The reason given for leaving, by a number in [0, 1): the first ones are given most."""
    reasons = REASONS[cause]
    return reasons[int(at**2 * len(reasons))]


def reason_share(cause: Cause, reason: str) -> float:
    """How many of those who leave for a cause give a reason."""
    reasons = REASONS[cause]
    if reason not in reasons:
        return 0.0
    place = reasons.index(reason)
    return float(np.sqrt((place + 1) / len(reasons)) - np.sqrt(place / len(reasons)))


def is_served(life: Life, on: date) -> bool:
    """Whether the customer has service on a day."""
    return any(start <= on and (end is None or on < end) for start, end in life.served)


def method_expiry(calendar: Calendar, on: date) -> date:
    """A card given on a day runs out four years later, at a month's end."""
    return calendar.day(calendar.number(on) + 48) - timedelta(days=1)
