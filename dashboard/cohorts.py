"""Cohorts as a grid of shares: the same heat map for subscriptions and for orders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import polars as pl

from dashboard import charts, frame
from dashboard.tables import Column
from dashboard.view import Published, View

SHOWN_AGES = 24


@dataclass(frozen=True)
class Grid:
    """Shares by cohort (rows, by month of start) and age in months (columns); None: age not reached."""

    months: list[date]
    ages: list[int]
    shares: list[list[float | None]]

    @property
    def frame(self) -> pl.DataFrame:
        columns = {f"age_{age}": [row[index] for row in self.shares] for index, age in enumerate(self.ages)}
        types = dict.fromkeys(columns, pl.Float64)
        return pl.DataFrame({"cohort": self.months, **columns}, schema={"cohort": pl.Date, **types})

    def columns(self, view: View) -> list[Column]:
        ages = [Column(f"age_{age}", view.show.number(age), "percent") for age in self.ages]
        return [Column("cohort", view.text.gettext("Month of start"), "month"), *ages]


def grid(cohorts: pl.DataFrame, part: str, whole: str) -> Grid:
    """The share `part` / `whole` of each cohort at each age; None where the whole is not above zero."""
    months = sorted(set(cohorts["cohort_month"].to_list()))
    ages = sorted(age for age in set(cohorts["age_months"].to_list()) if age <= SHOWN_AGES)
    cells = {
        (row["cohort_month"], row["age_months"]): float(Decimal(row[part]) / Decimal(row[whole]))
        for row in cohorts.iter_rows(named=True)
        if row[whole] and row[whole] > 0
    }
    return Grid(months, ages, [[cells.get((month, age)) for age in ages] for month in months])


def key(month: date) -> str:
    """How a cohort's rows are called in the address."""
    return f"cohort-{month:%Y-%m}"


def heat_map(view: View, published: Published, cells: Grid, title: str) -> None:
    """The grid as a heat map, or as a table."""
    _, show = view.text.gettext, view.show
    first, last = (cells.months[0], cells.months[-1]) if cells.months else (None, None)
    frame.chart(
        view,
        published,
        "cohorts",
        title,
        lambda: charts.cohorts(
            [show.month(month) for month in cells.months],
            cells.ages,
            cells.shares,
            view.text.is_right_to_left,
        ),
        _("{title}. {count} cohorts, from {first} to {last}.").format(
            title=title, count=show.number(len(cells.months)), first=show.month(first), last=show.month(last)
        ),
        cells.columns(view),
        cells.frame,
    )
