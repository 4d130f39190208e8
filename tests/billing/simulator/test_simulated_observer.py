"""Who knows how the company was made, but of its customers only what shows: the best that a model can do."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import product

import numpy as np
import pytest

from billing.simulator.agreements import Voucher, can_surely_pay
from billing.simulator.foresight import may_fail, risk
from billing.simulator.life import Decline, Life, live
from billing.simulator.observer import (
    Chances,
    Record,
    Signs,
    chances_in,
    p_90_shown,
    record_of,
    signs_of,
)
from billing.simulator.population import Calendar, Causes, Customer, populate
from billing.simulator.usage import Counts, count_days, draw_counts

CALENDAR = Calendar(date(2023, 1, 1), date(2025, 12, 31))
LONGER = Calendar(date(2023, 1, 1), date(2027, 12, 31))
SEED = 23
QUARTERS = range(12, 34, 3)
SIGNLESS = Causes(False, None, 4, None, None, False)


class Company:
    """The customers of a world, what they did and what showed of it."""

    def __init__(self, customers: int) -> None:
        self.customers = populate(SEED, customers, CALENDAR)
        self.lives = [live(SEED, one, CALENDAR) for one in self.customers]
        counts = draw_counts(SEED, self.customers, self.lives, CALENDAR)
        self.signs = signs_of(SEED, self.customers, self.lives, CALENDAR, counts)
        self.chances = chances_in(CALENDAR)

    def at_risk(self, months: Sequence[int]) -> Iterator[tuple[Customer, Life, int]]:
        for customer, life in zip(self.customers, self.lives, strict=True):
            for month in months:
                if month in life.at_risk:
                    yield customer, life, month

    def shown(self, customer: Customer, life: Life, month: int) -> float:
        return p_90_shown(self.record(customer, life), month)

    def record(self, customer: Customer, life: Life, chances: Chances | None = None) -> Record:
        return record_of(customer, life, CALENDAR, self.signs, customer.number, chances or self.chances)


@pytest.fixture(scope="module")
def company() -> Company:
    return Company(2_400)


def left_within_90(life: Life, month: int) -> bool:
    first = CALENDAR.day(month)
    return any(first <= day < first + timedelta(days=90) for day in life.left_on)


def test_as_many_leave_as_the_observer_expects_of_all_and_of_those_of_like_probability(
    company: Company,
) -> None:
    rows = [
        (
            company.shown(customer, life, month),
            left_within_90(life, month),
            risk(customer, life, CALENDAR, month).p_90,
        )
        for customer, life, month in company.at_risk(QUARTERS)
    ]
    shown, left, true = np.array(rows, dtype=float).T
    assert len(rows) > 8_000
    for low, high in (
        (0, 1.01),
        (0, 0.015),
        (0.015, 0.03),
        (0.03, 0.06),
        (0.06, 0.2),
        (0.2, 0.6),
        (0.6, 1.01),
    ):
        part = (shown >= low) & (shown < high)
        spread = float((shown[part] * (1 - shown[part])).sum()) ** 0.5
        assert left[part].sum() == pytest.approx(shown[part].sum(), abs=4 * spread), (low, high)
    # it is behind who knows what nobody can see, and before who gives all the same
    missed = [float(((p - left) ** 2).mean()) for p in (true, shown, np.full(len(left), left.mean()))]
    assert missed == sorted(missed)


def with_another_future(
    company: Company, customer: Customer, life: Life, month: int
) -> tuple[Customer, Life, Signs]:
    """A customer that is the same up to the eve of a month; nothing else of it is, nor does its world end
    when it did."""
    draws = np.random.default_rng(month)
    first = CALENDAR.day(month)
    causes = replace(
        SIGNLESS, is_noise=not customer.causes.is_noise, decay_from=month + 1, payment_from=month
    )
    other = Life(
        hazards=np.ones((LONGER.months + 3, 7)),
        usage=np.ones(LONGER.months + 1),
        acts=[act for act in life.acts if act.on < first],
        declines=[
            *(one for one in life.declines if one.from_on < first),
            Decline(first, date.max, "stolen_card"),
        ],
        served=[
            *((start, end) for start, end in life.served if end is not None and end < first),
            *(
                (start, LONGER.day(month + 1))
                for start, end in life.served
                if start < first and (end is None or end >= first)
            ),
            (LONGER.day(month + 4), None),
        ],
        at_risk={one for one in life.at_risk if one < month} | set(range(month, LONGER.months, 2)),
        left_on=[*(day for day in life.left_on if day < first), LONGER.day(month + 1)],
    )
    days = np.array(sorted({*count_days(LONGER), LONGER.last_day}), dtype="datetime64[D]")
    values = draws.integers(0, 900, (1, len(days) - 1))
    read = int(np.searchsorted(days[1:], np.datetime64(first)))
    values[0, :read] = company.signs.counts.values[customer.number, :read]
    signs = [draws.integers(0, 9, (1, LONGER.months)) for _ in range(2)]
    for drawn, seen in zip(signs, (company.signs.tickets, company.signs.complaints), strict=True):
        drawn[0, :month] = seen[customer.number, :month]
    agreed = company.signs.agreements[customer.number]
    is_prepaid = agreed.prepays_from is not None and agreed.prepays_from < first
    vouchers = [one for one in agreed.vouchers if one.on < first]
    later = Voucher(first, Decimal("0.10"), None, "Spring voucher")
    agreed = replace(
        agreed,
        prepays_from=agreed.prepays_from if is_prepaid else first,
        vouchers=(*vouchers, later),
        accepts_on=(first,),
    )
    return replace(customer, causes=causes), other, Signs(Counts(days, values, values * 0), *signs, [agreed])


def test_nothing_that_lies_ahead_changes_what_the_observer_says(company: Company) -> None:
    checked = 0
    for customer, life, month in company.at_risk(range(1, 36, 4)):
        if customer.number < 300:
            other, another_life, signs = with_another_future(company, customer, life, month)
            # the way it pays is known, and may not change with what befalls it
            assert other.is_charged == customer.is_charged
            record = record_of(other, another_life, LONGER, signs, 0, company.chances)
            assert p_90_shown(record, month) == company.shown(customer, life, month)
            checked += 1
    assert checked > 1_000


# Bayes' rule by hand: every state a customer may be in, one by one.


def by_hand(company: Company, customer: Customer, life: Life, month: int) -> float:
    """P(end within 90 days) of a customer free to go that has never left, where a cause begins each month
    from the third on with a twentieth of the share it strikes: of use 0.375, of support 0.20.
    """
    chances = (0.375 / 20, 0.20 / 20, failing_by_hand(company, customer, life, month) / 20)
    start = customer.start_month
    first = start + 2
    lived = [one for one in sorted(life.at_risk) if one < month]
    decays = [None, *product(range(first, month), (4, 5, 6))]
    pains = [None, *range(first, month + 1)]
    failures = [None, *range(max(first, month - 2), month + 3)] if customer.is_charged else [None]
    whole = ended = 0.0
    use = {decay: use_by_hand(company, customer, month, decay) for decay in decays}
    top = max(use.values())
    for is_noise, decay, pain, failure in product((False, True), decays, pains, failures):
        base = 0.02 if is_noise else 0.004
        weight = 0.05 if is_noise else 0.95
        weight *= waited(chances[0], first, month, decay and decay[0]) / (1 if decay is None else 3)
        weight *= waited(chances[1], first, month + 1, pain)
        weight *= waited(chances[2], first, month + 3, failure) if customer.is_charged else 1
        weight *= math.exp(use[decay] - top)
        weight *= charges_by_hand(customer, life, month, failure)
        weight *= pains_by_hand(company, customer, life, month, pain)

        def hazard(
            at: int, base: float = base, decay: tuple[int, int] | None = decay, pain: int | None = pain
        ) -> float:
            stays = 1 - base
            if decay is not None and at >= sum(decay):
                stays *= 0.90
            if pain is not None and pain + 2 <= at < pain + 5:
                stays *= 0.94
            return 1 - stays * (1 - price_by_hand(life, start, month, at))

        for at in lived:
            pauses = 0.024 if at % 12 == 7 else 0.006
            weight *= 1 - hazard(at)
            if failure is None or abs(failure + 2 - at) > 5:
                weight *= pauses if at in paused(life) else 1 - pauses
            elif at in paused(life):
                weight = 0.0
        whole += weight
        there = weight
        for at in range(month, month + 3):
            ended += there * hazard(at)
            there *= 1 - hazard(at)
            if failure is not None and failure + 2 == at:
                dunned_on = CALENDAR.day(at, customer.anchor_day) + timedelta(days=21)
                ended += there * (dunned_on < CALENDAR.day(month) + timedelta(days=90))
                there = 0.0
            there *= 1 - (0.024 if at % 12 == 7 else 0.006)
    return ended / whole


def failing_by_hand(company: Company, customer: Customer, life: Life, month: int) -> float:
    """The share whose payments will fail: 12 % of who can pay has a wallet from the 13th day on, 25 % a
    voucher four days into one of the second to seventh months, and of who cannot pay nobody."""
    eve = CALENDAR.day(month) - timedelta(days=1)
    agreed = company.signs.agreements[customer.number]
    given = [one.on for one in agreed.vouchers if one.reason == "Spring voucher"]
    if any(on is not None and on <= eve for on in (agreed.prepays_from, *given)):
        return 0.0
    days = [CALENDAR.day(customer.start_month + n, customer.anchor_day + 3) for n in range(1, 7)]
    over = [
        day
        for day in days
        if day <= eve and any(start <= day < (end or date.max) for start, end in life.served)
    ]
    has_none = (1 - 0.25 * len(over) / 6) * (0.88 if customer.anchor_on + timedelta(days=12) <= eve else 1)
    share = may_fail(customer)
    return share / (share + (1 - share) * has_none)


def waited(chance: float, first: int, until: int, begins: int | None) -> float:
    """How likely a cause begins in a month, or in none before `until`."""
    return (
        (1 - chance) ** max(until - first, 0) if begins is None else chance * (1 - chance) ** (begins - first)
    )


def paused(life: Life) -> set[int]:
    return {CALENDAR.number(act.on) for act in life.acts if act.kind == "pause"}


def price_by_hand(life: Life, start: int, month: int, at: int) -> float:
    """4 % in April 2023, 3 % in April 2024: half a percent of hazard each, for the three months after; of
    nobody who paused over the day."""
    for april, percent in ((3, 4), (15, 3)):
        over = [begin for begin, end in pauses(life) if end < month and begin <= april <= end]
        if start < april < at <= april + 3 and not over:
            return 0.005 * percent
    return 0.0


def pauses(life: Life) -> list[tuple[int, int]]:
    return [
        (CALENDAR.number(end), CALENDAR.number(start))
        for (_, end), (start, _) in zip(life.served, life.served[1:], strict=False)
        if end is not None
    ]


def use_by_hand(company: Company, customer: Customer, month: int, decay: tuple[int, int] | None) -> float:
    """The log of the density of all counts up to the eve: normal in logs, with one level unknown to all."""
    counts = company.signs.counts
    values, means, spread = [], [], []
    for n, value in enumerate(counts.values[customer.number]):
        begun, end = counts.starts[n].astype(date), counts.starts[n + 1].astype(date)
        if end >= CALENDAR.day(month) or not value:
            continue
        usual = 24 * customer.quantity * CALENDAR.season(CALENDAR.number(begun)) * (end - begun).days / 30.4
        fallen = 0 if decay is None else min(max(CALENDAR.number(begun) - decay[0] + 1, 0), decay[1])
        values.append(math.log(value))
        means.append(math.log(usual) + fallen * math.log(0.85))
        spread.append(0.12**2 + 1 / (12 * value**2))
    if not values:
        return 0.0
    covariance = np.diag(spread) + 0.35**2 + 1 / (12 * customer.quantity**2)
    away = np.array(values) - means
    return float(-away @ np.linalg.solve(covariance, away) / 2)


def pains_by_hand(company: Company, customer: Customer, life: Life, month: int, pain: int | None) -> float:
    """How likely the tickets and complaints of all months up to the eve are: Poisson, on days in service."""
    likelihood = 1.0
    for at in range(customer.start_month, month):
        days = [
            CALENDAR.day(at) + timedelta(days=n)
            for n in range((CALENDAR.day(at + 1) - CALENDAR.day(at)).days)
        ]
        served = [
            any(start <= day and (end is None or day < end) for start, end in life.served) for day in days
        ]
        hurts = pain is not None and pain <= at < pain + 2
        for seen, mean in (
            (company.signs.tickets, 0.45 * (4 if hurts else 1)),
            (company.signs.complaints, 2 if hurts else 0.04),
        ):
            expected, count = mean * sum(served) / len(days), int(seen[customer.number, at])
            likelihood *= expected**count * math.exp(-expected) / math.factorial(count)
    return likelihood


def charges_by_hand(customer: Customer, life: Life, month: int, failure: int | None) -> float:
    """How likely the last two charges are. The first two declines of a failure are soft, for 2 and 7 days."""
    likelihood = 1.0
    for at in (month - 2, month - 1):
        found = [one for one in life.declines if one.from_on == CALENDAR.day(at, customer.anchor_day)]
        days = (found[0].until_on - found[0].from_on).days if found else 0
        is_soft = bool(found) and found[0].outcome == "insufficient_funds"
        if failure is not None and failure <= at:
            likelihood *= is_soft and days == (2 if at == failure else 7)
        elif is_soft:
            likelihood *= 0.024 * 0.78 * (0.75 if days == 2 else 0.25)
        # What else there is says nothing of a failure, and is as likely in all states that are left.
    return likelihood


def is_simple(customer: Customer, life: Life, month: int) -> bool:
    return not customer.has_term and not any(day < CALENDAR.day(month) for day in life.left_on)


@pytest.mark.parametrize(
    "looks",
    ["declined once", "declined twice", "shrunk", "pained", "paused", "at the beginning", "small", "any"],
)
def test_states_are_weighed_by_the_rule_of_bayes(company: Company, looks: str) -> None:
    ages = np.arange(CALENDAR.months + 3)

    def chances(share: float) -> np.ndarray:
        return np.where(ages >= 2, share / 20, 0.0)

    def declines(customer: Customer, life: Life, month: int, ahead: int, days: int) -> bool:
        on = CALENDAR.day(month - ahead, customer.anchor_day)
        return any(
            (one.from_on, (one.until_on - on).days, one.outcome) == (on, days, "insufficient_funds")
            for one in life.declines
            if one.until_on < date.max
        )

    def is_so(customer: Customer, life: Life, month: int) -> bool:
        causes = customer.causes
        match looks:
            case "declined once":
                return declines(customer, life, month, 1, 2)
            case "declined twice":
                return declines(customer, life, month, 2, 2) and declines(customer, life, month, 1, 7)
            case "shrunk":
                return causes.decay_from is not None and causes.decay_from < month
            case "pained":
                return causes.support_from is not None and causes.support_from < month
            case "paused":
                return any(end < month for _, end in pauses(life))
            case "at the beginning":
                return month <= customer.start_month + 2
            case "small":
                return customer.quantity <= 6
        return True

    found = [
        one
        for one in company.at_risk(range(1, 22))
        if is_simple(*one) and is_so(*one) and one[2] - one[0].start_month <= 9
    ]
    assert len(found) > 2
    for customer, life, month in found[:: -(-len(found) // 5)]:
        record = company.record(customer, life, chances)
        assert p_90_shown(record, month) == pytest.approx(by_hand(company, customer, life, month), rel=1e-9)


@pytest.mark.parametrize("share", [0.2, 0.375])
def test_a_cause_begins_as_often_as_with_customers_of_that_age_on_the_mean(share: float) -> None:
    # Half come in January, the others in February to April, in the measure of season and growth.
    came = [1.16 ** (month / 12) * season for month, season in ((1, 1.00), (2, 1.16), (3, 1.06))]
    january, february = 0.5, 0.5 * came[0] / sum(came)
    chances = chances_in(Calendar(date(2023, 1, 1), date(2023, 4, 30)))(share)
    # Whom it strikes of those of January it strikes in March or April, of those of February in April.
    third = (january * share / 2 + february * share) / (january + february)
    fourth = (share / 2) / (1 - share / 2)
    assert chances[:5] == pytest.approx([0, 0, third, fourth, fourth])


def test_as_many_causes_begin_as_the_chances_of_all_ages_make(company: Company) -> None:
    free = [one for one in company.customers if not one.has_term]
    charged = [one for one in company.customers if one.is_charged]
    for name, share, people in (
        ("decay_from", 0.375, free),
        ("support_from", 0.20, free),
        ("payment_from", may_fail(charged[0]), charged),
    ):
        chances = company.chances(share)
        expected = begun = 0.0
        for one in people:
            since = getattr(one.causes, name)
            until = CALENDAR.months if since is None else min(since + 1, CALENDAR.months)
            expected += chances[: max(until - one.start_month, 0)].sum()
            begun += since is not None and since < CALENDAR.months
        assert begun == pytest.approx(expected, abs=4 * expected**0.5), name


def test_who_left_because_it_closed_and_is_back_is_noise_more_likely(company: Company) -> None:
    checked = 0
    for customer, life, month in company.at_risk([one for one in range(35) if (one + 5) % 12 < 7]):
        before = [day for day in life.left_on if day < CALENDAR.day(month)]
        reasons = [act.reason for act in life.acts if act.kind == "cancel" and act.effective_on in before]
        if reasons != ["closed_business"] or CALENDAR.number(before[0]) % 12 in (4, 5, 6):
            continue
        # Only base and noise make anybody say so; no price rise is near then or now.
        lived = sum(one < month for one in life.at_risk) - 1
        base, noise = 0.95 * 0.996**lived * 0.004, 0.05 * 0.98**lived * 0.020
        ended = 0.0
        for hazard, weight in ((0.004, base / (base + noise)), (0.020, noise / (base + noise))):
            there = weight
            for at in range(month, month + 3):
                ended += there * hazard
                there *= (1 - hazard) * (1 - (0.024 if at % 12 == 7 else 0.006))
        assert company.shown(customer, life, month) == pytest.approx(ended, rel=1e-9)
        assert ended > 3 * (0.95 * 0.004 + 0.05 * 0.020)
        checked += 1
    assert checked > 1


def quiet(company: Company) -> Iterator[tuple[Record, int]]:
    """Customers free to go who pay themselves, in the middle of whose life nothing has shown."""
    for customer, life, month in company.at_risk([20]):
        is_quiet = replace(customer.causes, is_noise=False, decay_months=4, is_payment_hard=False) == SIGNLESS
        is_steady = customer.start_month < 12 and is_simple(customer, life, month) and not pauses(life)
        is_unsure = not can_surely_pay(company.signs.agreements[customer.number], date.max)
        if is_quiet and is_steady and is_unsure and customer.is_charged and not life.declines:
            yield company.record(customer, life), month


def test_whose_use_halves_or_is_short_of_goods_or_is_declined_is_likelier_to_leave(company: Company) -> None:
    checked = 0
    for record, month in quiet(company):
        usual = p_90_shown(record, month)
        code = "insufficient_funds"
        halved = np.where(record.use.month >= month - 4, np.log(0.5), 0.0)
        short = np.where(np.isin(np.arange(CALENDAR.months), (month - 2, month - 1)), 10.0, 0.0)
        once, twice = {month - 1: (2, code)}, {month - 2: (2, code), month - 1: (7, code)}
        shrunk = p_90_shown(replace(record, use=record.use._replace(level=record.use.level + halved)), month)
        pained = p_90_shown(replace(record, pained=record.pained + short), month)
        declined = p_90_shown(replace(record, declined=once), month)
        declined_twice = p_90_shown(replace(record, declined=twice), month)
        over = p_90_shown(replace(record, declined={month - 2: (2, code)}), month)
        assert shrunk > usual + 0.1
        assert pained > usual + 0.1
        assert usual + 0.1 < declined < declined_twice - 0.3
        paid = replace(record.agreed, prepays_from=record.customer.anchor_on)
        able = p_90_shown(replace(record, declined=twice, agreed=paid), month)
        assert able <= usual, "who cannot pay prepays nothing"
        assert over == pytest.approx(usual, abs=1e-12), "a payment that fails is declined in the month after"
        checked += 1
    assert checked > 10


def test_a_charge_that_stays_declined_ends_its_customer_for_certain(company: Company) -> None:
    failed = [
        company.shown(customer, life, month)
        for customer, life, month in company.at_risk(range(1, 36))
        if any(one.until_on == date.max and one.from_on < CALENDAR.day(month) for one in life.declines)
    ]
    assert len(failed) > 20
    assert set(failed) == {1.0}
