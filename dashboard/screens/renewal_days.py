"""What comes up for renewal day by day (rows of queries.renewals.BY_DAY), added up to horizons and weeks."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

HORIZONS = (30, 60, 90)
AMOUNTS = ("renewals", "mrr", "auto_mrr", "manual_mrr")


def totals_of(by_day: pl.DataFrame) -> dict[int, dict[str, Any]]:
    """By horizon, how many renewals come up within it (`renewals`), and with how much MRR (`mrr`)."""
    within = {days: by_day.filter(pl.col("days_left") <= days) for days in HORIZONS}
    return {
        days: {"renewals": sum(rows["renewals"]), "mrr": sum(rows["mrr"].to_list(), Decimal(0))}
        for days, rows in within.items()
    }


def weeks_of(by_day: pl.DataFrame, as_of: date, days: int) -> pl.DataFrame:
    """Every week that so many days from a day on reach into, those in which nothing comes up too, and those
    of renewals that are due already: `week` (its Monday) and AMOUNTS."""
    first, last = _monday(as_of + timedelta(days=1)), _monday(as_of + timedelta(days=days))
    reached = [first + timedelta(weeks=step) for step in range((last - first).days // 7 + 1)]
    sums = by_day.filter(pl.col("days_left") <= days).group_by("week").agg(pl.col(AMOUNTS).sum())
    weeks = pl.DataFrame({"week": reached}).join(sums, on="week", how="full", coalesce=True)
    return weeks.sort("week").with_columns(pl.col(AMOUNTS).fill_null(0))


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
