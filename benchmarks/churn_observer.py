"""How far all that shows is from the true probability: companies of the generator, without engine or model.

Of each seed a company's customers and their lives are drawn. On four days, a quarter apart in its last year,
those in service who have given no notice have the true probability of an end within 90 days
(billing/simulator/foresight.py) and that of an observer who knows the generator's parameters and sees what
shows by then (billing/simulator/observer.py). Both are set beside the same outcomes: AUC and Brier score of
each day, their mean over the days, and over the companies its mean and standard deviation. "Off" is how far
the observer is behind; no model is to be expected to make that good. What the probabilities sum up to stands
beside those who left.

Customers count one by one; benchmarks/churn_truth.py judges accounts, which may be trees of customers.
CUSTOMERS is the size of a company, SEEDS how many are drawn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from billing.simulator.foresight import HORIZON_DAYS, risk
from billing.simulator.life import Life, live
from billing.simulator.observer import chances_in, p_90_shown, record_of, signs_of
from billing.simulator.population import Calendar, populate
from billing.simulator.usage import draw_counts
from churn_model import metrics

CALENDAR = Calendar(date(2023, 1, 1), date(2025, 12, 31))
DAYS, STEP = 4, 3
"""So many test days, so many months from one to the next."""
FIGURES = {"AUC": (metrics.auc, 1), "Brier": (metrics.brier, -1)}
"""Each with the sign of what is better."""
Column = NDArray[np.float64]


def main() -> int:
    customers, seeds = int(os.environ.get("CUSTOMERS", 2_000)), int(os.environ.get("SEEDS", 20))
    months = test_months()
    print(f"{seeds} companies of {customers:,}, on the eves of {', '.join(map(day_of, months))}")
    companies = [company(seed, customers, months) for seed in range(1, seeds + 1)]
    everyone = np.concatenate([day for days in companies for day in days])
    sums = everyone.sum(axis=0)
    print(
        f"{len(everyone):,} customers, {sums[0]:,.0f} left; expected by the truth {sums[1]:,.1f}, "
        f"by the observer {sums[2]:,.1f}"
    )
    for name, (figure, sign) in FIGURES.items():
        of_all = np.array([[mean_of(figure, days, who) for who in (1, 2)] for days in companies])
        off = sign * (of_all[:, 0] - of_all[:, 1])
        for who, values in (("truth", of_all[:, 0]), ("observer", of_all[:, 1]), ("off", off)):
            print(f"{name} {who}: {values.mean():.4f}, standard deviation {values.std(ddof=1):.4f}")
    return 0


def test_months() -> list[int]:
    """The last months, a quarter apart, of whose eves all outcomes lie in the world."""
    over = [
        month
        for month in range(CALENDAR.months)
        if CALENDAR.day(month) + timedelta(days=HORIZON_DAYS - 1) <= CALENDAR.last_day
    ]
    return over[-1 - STEP * (DAYS - 1) :: STEP]


def day_of(month: int) -> str:
    return f"{CALENDAR.day(month)}"


def company(seed: int, customers: int, months: list[int]) -> list[Column]:
    """By day: customers x (left, true probability, the observer's)."""
    people = populate(seed, customers, CALENDAR)
    lives = [live(seed, one, CALENDAR) for one in people]
    signs = signs_of(seed, people, lives, CALENDAR, draw_counts(seed, people, lives, CALENDAR))
    chances = chances_in(CALENDAR)
    days: dict[int, list[tuple[float, float, float]]] = {month: [] for month in months}
    for row, (customer, life) in enumerate(zip(people, lives, strict=True)):
        record = record_of(customer, life, CALENDAR, signs, row, chances)
        for month in life.at_risk.intersection(months):
            p_true = risk(customer, life, CALENDAR, month).p_90
            days[month].append((has_left(life, month), p_true, p_90_shown(record, month)))
    return [np.array(rows) for rows in days.values()]


def has_left(life: Life, month: int) -> bool:
    """Whether an end lies within the horizon of a month's eve."""
    first = CALENDAR.day(month)
    return any(first <= day < first + timedelta(days=HORIZON_DAYS) for day in life.left_on)


def mean_of(figure: Callable[[Column, Column], Column], days: list[Column], who: int) -> float:
    return float(np.mean([figure(rows[:, 0], rows[:, who])[0] for rows in days]))


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        sys.exit(main())
