"""Who the simulated customers are: drawn once, before the first day, and never from what happens later.

Each customer has random streams of its own, one a subject (`stream`), keyed by the customer's number. So
one customer more, or one draw more for a customer, shifts nobody else: the first 60 customers of a world of
2,000 are the world of 60. What befalls them month by month is decided in `life`; this module decides who
they are and which causes lie in wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum

import numpy as np

from billing.simulator.names import ARABIC_COUNTRIES, company_name

# Periods begin on two days of the month, which are also the days the seller bills; customers act on four.
ANCHOR_DAYS = (5, 19)
ACT_DAYS = (1, 8, 15, 22)

# Together these let the number of customers grow by about 8 % a year.
RUNNING_BOOK_SHARE = 0.50
ARRIVALS_GROWTH_A_YEAR = 0.16
TERM_SHARE = 0.60
YEARLY_SHARE_OF_TERMS = 0.35
RUNNING_TERMS = (6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18)
TRIAL_SHARE = 0.15
TRIAL_DAYS = 14

# Forty customers in a row may stand in one tree below the first of them: some heads have no site, most a few,
# one in twenty all the others.
BLOCK = 40
LONE_HEAD_SHARE = 0.30
FULL_HEAD_SHARE = 0.05
TREE_SHARE = (1 + (BLOCK - 1) * ((1 - LONE_HEAD_SHARE - FULL_HEAD_SHARE) / 3 + FULL_HEAD_SHARE)) / BLOCK
TRANSFER_SHARE = 0.20
EARLY_SHARE = 0.35
OWN_PRICES_SHARE = 0.08
CONTRACT_PRICES_SHARE = 0.50

NOISE_SHARE = 0.05
# Of all customers; it strikes those who are charged, since the head of a tree pays for its sites by transfer.
PAYMENT_FAILURE_SHARE = 0.10
# Of all customers; they strike only those free to go, who are 40 % of all, and a term holds the others.
USAGE_DECAY_SHARE = 0.15
SUPPORT_PAIN_SHARE = 0.08
# None of these begins sooner after the start.
SETTLED_MONTHS = 2
# How long use shrinks, each as likely.
DECAY_MONTHS = (4, 5, 6)

BOXES_MEDIAN = 44.0
SIZE_SPREAD = 0.95
REFILLS_PER_BOX = 24.0
REFILLS_SPREAD = 0.35

COUNTRIES = (
    ("DE", 0.30),
    ("FR", 0.14),
    ("NL", 0.12),
    ("IT", 0.08),
    ("ES", 0.08),
    ("AT", 0.05),
    ("BE", 0.05),
    ("PL", 0.04),
    ("KW", 0.05),
    ("SA", 0.05),
    ("EG", 0.02),
    ("AE", 0.02),
)
# Where the option is taken, those who stand alone pay in these.
CURRENCY = "EUR"
CURRENCIES = {"AE": "USD", "SA": "USD", "EG": "USD", "KW": "KWD"}
CHANNELS = (("web", 0.28), ("field_sales", 0.30), ("partner", 0.18), ("referral", 0.14), ("trade_fair", 0.10))
SEGMENTS = ("small", "mid-market", "enterprise")
SEGMENT_BOUNDS = (40.0, 150.0)
TIERS = ("essential", "standard", "premium")
_TIER_OF_SEGMENT = {"small": (0.65, 0.95), "mid-market": (0.20, 0.80), "enterprise": (0.05, 0.40)}

# More of everything around trade-fair and back-to-work months, least in August; the mean over the year is 1.
SEASON = np.array([0.97, 1.00, 1.16, 1.06, 1.01, 0.96, 0.90, 0.76, 1.02, 1.17, 1.04, 0.95])


class Topic(IntEnum):
    """What a stream of random numbers is for. New topics go to the end: their numbers make the streams."""

    POPULATION = 0
    CAUSES = 1
    HAZARDS = 2
    CHANGES = 3
    USAGE = 4
    PAYMENTS = 5
    CRM = 6
    DEALINGS = 7
    SETTLEMENT = 8
    RATES = 9
    INCIDENTS = 10
    WRITE_OFFS = 11
    REFUNDS = 12
    AGREEMENTS = 13
    BANK = 14
    INDEX = 15


def stream(seed: int, topic: Topic, number: int) -> np.random.Generator:
    """The random numbers of one customer for one topic, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(topic), number)))


@dataclass(frozen=True)
class Calendar:
    """The simulated months, counted from 0. `first_day` is the first of a month."""

    first_day: date
    last_day: date

    def __post_init__(self) -> None:
        if self.first_day.day != 1:
            raise ValueError(f"a world begins on the first of a month, not on {self.first_day}")
        if self.last_day <= self.first_day:
            raise ValueError(f"the last day {self.last_day} is not after the first day {self.first_day}")

    @property
    def months(self) -> int:
        return self.number(self.last_day) + 1

    def day(self, month: int, day_of_month: int = 1) -> date:
        """A day of month `month`; months before 0 and after the last one exist too."""
        years, rest = divmod(self.first_day.month - 1 + month, 12)
        return date(self.first_day.year + years, rest + 1, day_of_month)

    def number(self, on: date) -> int:
        return (on.year - self.first_day.year) * 12 + on.month - self.first_day.month

    def season(self, month: int) -> float:
        return float(SEASON[(self.first_day.month - 1 + month) % 12])


@dataclass(frozen=True)
class Causes:
    """What lies in wait for a customer, by month number; None: this cause never comes.

    A customer may leave for another reason before its cause begins.
    """

    is_noise: bool
    decay_from: int | None
    decay_months: int
    support_from: int | None
    payment_from: int | None
    is_payment_hard: bool


@dataclass(frozen=True)
class Dealings:
    """How a customer deals with the seller. `head`: the number of the customer that pays for it (its tree's
    root), itself if it stands alone. `pays_by_transfer`: on net terms, `pays_early` with a discount.
    `prices`: whose price list it buys by, customer or contract; None for the general one, or its buying
    group's."""

    head: int
    pays_by_transfer: bool
    pays_early: bool
    prices: str | None


@dataclass(frozen=True)
class Customer:
    """One customer as drawn. `boxes` is its size: boxes of consumables a month, before rounding. `parent`:
    the number of the customer it stands below."""

    number: int
    customer_id: str
    name: str
    country: str
    locale: str
    tax_number: str | None
    segment: str
    channel: str
    boxes: float
    refills: float
    tier: int
    method: str
    card_expires_on: date | None
    start_month: int
    starts_on: date
    trial_days: int
    has_term: bool
    is_yearly: bool
    term_months: int
    anchor_on: date
    causes: Causes
    dealings: Dealings
    parent: int | None = None
    currency: str = CURRENCY

    @property
    def is_site(self) -> bool:
        """Whether the head of a tree pays for it."""
        return self.dealings.head != self.number

    @property
    def is_charged(self) -> bool:
        """Whether its own card or account is charged."""
        return not (self.is_site or self.dealings.pays_by_transfer)

    @property
    def group(self) -> str | None:
        """The buying group whose prices it has."""
        return "partners" if self.channel == "partner" else None

    @property
    def anchor_day(self) -> int:
        return self.anchor_on.day

    @property
    def quantity(self) -> int:
        return max(1, round(self.boxes))


def populate(
    seed: int, customers: int, calendar: Calendar, *, has_currencies: bool = False
) -> list[Customer]:
    """All customers of a world, in order of their numbers. Pure: same arguments, same customers.

    All pay in EUR; with `has_currencies` some outside of trees in the currency of their trade.
    """
    arrivals = arrival_shares(calendar)
    drawn = [_customer(seed, number, calendar, arrivals) for number in range(customers)]
    return [
        replace(one, parent=_parent(one, drawn), currency=_currency(one) if has_currencies else CURRENCY)
        for one in drawn
    ]


def _currency(one: Customer) -> str:
    in_tree = one.is_site or is_head(one.number)
    return CURRENCY if in_tree else CURRENCIES.get(one.country, CURRENCY)


def _parent(site: Customer, drawn: Sequence[Customer]) -> int | None:
    """Sites stand below the first of their eight, where that is a site that came no later; else below the
    head."""
    if not site.is_site:
        return None
    first = drawn[site.number - site.number % 8]
    is_region = first.number != site.number and first.dealings.head == site.dealings.head
    return first.number if is_region and first.starts_on <= site.starts_on else site.dealings.head


def is_head(number: int) -> bool:
    """Whether a customer is the first of its forty."""
    return number % BLOCK == 0


def _sites_share(seed: int, head: int) -> float:
    """How many of those that follow a head stand below it."""
    u = stream(seed, Topic.DEALINGS, head).random(2)
    if u[0] < LONE_HEAD_SHARE:
        return 0.0
    return 1.0 if u[0] > 1 - FULL_HEAD_SHARE else float(u[1] ** 2)


def _head(seed: int, number: int) -> int:
    """The customer that pays for a customer."""
    first = number - number % BLOCK
    at = stream(seed, Topic.DEALINGS, number).random()
    return first if number == first or at < _sites_share(seed, first) else number


def arrival_shares(calendar: Calendar) -> np.ndarray:
    """Share of all customers that begin by the end of each month; month 0 opens with the running book."""
    months = np.arange(calendar.months)
    weights = (1 + ARRIVALS_GROWTH_A_YEAR) ** (months / 12) * SEASON[
        (calendar.first_day.month - 1 + months) % 12
    ]
    weights[0] = 0.0
    weights /= max(weights.sum(), 1e-12)
    weights[0] = RUNNING_BOOK_SHARE / (1 - RUNNING_BOOK_SHARE)
    shares: np.ndarray = np.cumsum(weights) / weights.sum()
    return shares


def _customer(seed: int, number: int, calendar: Calendar, arrivals: np.ndarray) -> Customer:
    draws = stream(seed, Topic.POPULATION, number)
    u = draws.random(16)
    boxes = float(BOXES_MEDIAN * np.exp(SIZE_SPREAD * np.clip(draws.standard_normal(), -3.0, 3.0)))
    refills = float(boxes * REFILLS_PER_BOX * np.exp(REFILLS_SPREAD * draws.standard_normal()))
    country = _choose(COUNTRIES, u[0])
    segment = SEGMENTS[sum(boxes >= bound for bound in SEGMENT_BOUNDS)]
    start_month = int(np.searchsorted(arrivals, u[1], side="right"))
    anchor_day = ANCHOR_DAYS[int(u[2] * len(ANCHOR_DAYS))]
    head = _head(seed, number)
    in_tree = is_head(number) or head != number
    if is_head(number):
        # It is there before its sites are.
        start_month, anchor_day = 0, ANCHOR_DAYS[0]
    has_term = bool(u[3] < TERM_SHARE)
    is_yearly = has_term and bool(u[4] < YEARLY_SHARE_OF_TERMS)
    trial_days = 0
    if start_month > 0 and not has_term and not in_tree and u[5] < TRIAL_SHARE / (1 - TERM_SHARE):
        trial_days = TRIAL_DAYS
        anchor_day = ANCHOR_DAYS[-1]  # so that trial and its end lie in one month
    anchor_on = calendar.day(start_month, anchor_day)
    term_months = 12 if has_term else 0
    if has_term and start_month == 0 and not is_yearly:
        # Terms of the running book differ in length, so that they do not all end in one month.
        term_months = RUNNING_TERMS[int(u[6] * len(RUNNING_TERMS))]
    method = "card" if u[7] < 0.45 else "direct_debit"
    expires_on = None
    if method == "card":
        expires_on = calendar.day(start_month + 4 + int(u[8] * 44)) - timedelta(days=1)
    causes = _causes(seed, number, start_month, calendar.months, has_term=has_term, in_tree=in_tree)
    low, high = _TIER_OF_SEGMENT[segment]
    return Customer(
        number=number,
        customer_id=f"cus-{number + 1:05d}",
        name=company_name(country, number + seed % 997),
        country=country,
        locale="ar" if country in ARABIC_COUNTRIES else "en",
        tax_number=None if u[9] < 0.08 else f"{country}{100_000_000 + int(u[10] * 900_000_000)}",
        segment=segment,
        channel=_choose(CHANNELS, u[11]),
        boxes=boxes,
        refills=refills,
        tier=int(u[12] >= low) + int(u[12] >= high),
        method=method,
        card_expires_on=expires_on,
        start_month=start_month,
        starts_on=anchor_on - timedelta(days=trial_days),
        trial_days=trial_days,
        has_term=has_term,
        is_yearly=is_yearly,
        term_months=term_months,
        anchor_on=anchor_on,
        causes=causes,
        dealings=_dealings(
            seed, number, head, can_owe=causes.payment_from is None, has_term=has_term, segment=segment
        ),
    )


def _dealings(seed: int, number: int, head: int, *, can_owe: bool, has_term: bool, segment: str) -> Dealings:
    u = stream(seed, Topic.DEALINGS, number).random(6)
    pays_by_transfer = is_head(number) or (can_owe and head == number and u[2] < TRANSFER_SHARE)
    prices = None
    if has_term and segment == "enterprise" and u[4] < CONTRACT_PRICES_SHARE:
        prices = "contract"
    elif has_term and u[5] < OWN_PRICES_SHARE:
        prices = "customer"
    return Dealings(head, bool(pays_by_transfer), bool(pays_by_transfer and u[3] < EARLY_SHARE), prices)


def _causes(
    seed: int, number: int, start_month: int, months: int, *, has_term: bool, in_tree: bool
) -> Causes:
    u = stream(seed, Topic.CAUSES, number).random(9)
    free_share = 1 - TERM_SHARE
    decays = not has_term and u[1] < USAGE_DECAY_SHARE / free_share
    hurts = not has_term and u[3] < SUPPORT_PAIN_SHARE / free_share
    fails = not in_tree and u[5] < PAYMENT_FAILURE_SHARE / (1 - TREE_SHARE)

    def onset(at: float) -> int:
        """A month between the settled months after the start and the end of the world."""
        first = start_month + SETTLED_MONTHS
        return first + int(at * max(months - first, 1))

    return Causes(
        is_noise=bool(u[0] < NOISE_SHARE),
        decay_from=onset(u[2]) if decays else None,
        decay_months=DECAY_MONTHS[int(u[7] * len(DECAY_MONTHS))],
        support_from=onset(u[4]) if hurts else None,
        payment_from=onset(u[6]) if fails else None,
        is_payment_hard=bool(u[8] < 0.3),
    )


def _choose(choices: tuple[tuple[str, float], ...], at: float) -> str:
    total = 0.0
    for name, share in choices:
        total += share
        if at < total:
            return name
    return choices[-1][0]
