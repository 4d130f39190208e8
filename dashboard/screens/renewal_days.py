"""What comes up for renewal day by day (rows of queries.renewals.BY_DAY): added up to horizons and weeks, and
on which days a page of the list falls."""

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


def page_of(by_day: pl.DataFrame, as_of: date, days: int, offset: int, rows: int) -> dict[str, object]:
    """What queries.renewals.PAGE takes for so many rows of the list behind the first `offset`.

    The days they fall on, and how many rows of those days come before them.
    """
    known = by_day.filter(pl.col("days_left") <= days).sort("days_left")
    known = known.with_columns(ends=pl.col("renewals").cum_sum()).with_columns(
        begins=pl.col("ends") - pl.col("renewals")
    )
    reached = known.filter((pl.col("ends") > offset) & (pl.col("begins") < offset + rows))
    if reached.is_empty():
        return {"from_day": as_of, "to_day": as_of, "limit": 0, "offset": 0}
    first, last = reached.row(0, named=True), reached.row(-1, named=True)
    return {
        "from_day": as_of + timedelta(days=first["days_left"]),
        "to_day": as_of + timedelta(days=last["days_left"]),
        "limit": rows,
        "offset": offset - first["begins"],
    }


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
