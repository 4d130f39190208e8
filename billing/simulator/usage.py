"""Metered refills of all customers: what each dispenser count says, week by week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from billing.simulator.catalogue import METER
from billing.simulator.life import Life
from billing.simulator.population import ANCHOR_DAYS, Calendar, Customer, Topic, stream

SOURCE = "dispensers"
NOISE = 0.12
DAYS_A_MONTH = 30.4


COUNT_DAYS = (5, 12, 19, 26)


def bill_days(calendar: Calendar) -> list[date]:
    """The days the seller bills: every anchor day, and the world's last day."""
    return sorted({*_days(calendar, ANCHOR_DAYS), calendar.last_day})


def count_days(calendar: Calendar) -> list[date]:
    """The days the counts of the days before come in, about weekly. The world's last day is none of its own:
    what was used since the last count is not known on it, as on any other month end."""
    return _days(calendar, COUNT_DAYS)


def _days(calendar: Calendar, days_of_month: Sequence[int]) -> list[date]:
    days = {calendar.day(month, day) for month in range(calendar.months) for day in days_of_month}
    return sorted(day for day in days if day <= calendar.last_day)


@dataclass(frozen=True)
class Counts:
    """All counts of a world, drawn at once: arrays of customers × stretches between count days, the last of
    which ends with the world, perhaps before anybody counted it.

    `values` is 0 where a customer has no service on the counting day.
    """

    starts: np.ndarray
    values: np.ndarray
    offsets: np.ndarray


def draw_counts(
    seed: int, customers: Sequence[Customer], lives: Sequence[Life], calendar: Calendar
) -> Counts:
    """One count per customer and stretch, on a day in it, at the level of its month and season."""
    days = sorted({*count_days(calendar), calendar.last_day})
    starts = np.array(days, dtype="datetime64[D]")
    lengths = np.diff(starts).astype(np.int64)
    months = np.array([calendar.number(day) for day in days[:-1]])
    season = np.array([calendar.season(month) for month in months])
    shape = (len(customers), len(lengths))
    values, offsets = (np.zeros(shape, dtype=np.int64) for _ in range(2))
    for row, (customer, life) in enumerate(zip(customers, lives, strict=True)):
        draws = stream(seed, Topic.USAGE, customer.number)
        noise = np.exp(NOISE * draws.standard_normal(len(lengths)))
        placed = draws.random(len(lengths))
        level = life.usage[months] * season * lengths / DAYS_A_MONTH * noise
        offsets[row] = (placed * lengths).astype(np.int64)
        on = starts[:-1] + offsets[row]
        served = np.zeros(len(lengths), dtype=bool)
        for start, end in life.served:
            served |= (on >= np.datetime64(start)) & (on < np.datetime64(end or date.max))
        values[row] = np.where(served, np.maximum(np.rint(level), 1), 0)
    return Counts(starts, values, offsets)


def events_before(counts: Counts, on: date, items: Mapping[int, tuple[str, str]]) -> pl.DataFrame:
    """The counts of the stretch that ends on a count day, as usage events in order of customer numbers.

    items: the metered item of each customer number: (customer_id, item_id).
    """
    stretch = int(np.searchsorted(counts.starts, np.datetime64(on))) - 1
    if stretch < 0:
        numbers: list[int] = []
    else:
        numbers = [int(one) for one in np.flatnonzero(counts.values[:, stretch])]
    first = on if stretch < 0 else counts.starts[stretch].astype(date)
    return pl.DataFrame(
        {
            "source": [SOURCE] * len(numbers),
            "event_id": [f"{items[one][0]}-{first}" for one in numbers],
            "customer_id": [items[one][0] for one in numbers],
            "item_id": [items[one][1] for one in numbers],
            "meter_id": [METER] * len(numbers),
            "occurred_on": [first + timedelta(days=int(counts.offsets[one, stretch])) for one in numbers],
            "value": [int(counts.values[one, stretch]) for one in numbers],
        },
        schema={
            "source": pl.String,
            "event_id": pl.String,
            "customer_id": pl.String,
            "item_id": pl.String,
            "meter_id": pl.String,
            "occurred_on": pl.Date,
            "value": pl.Int64,
        },
    )
