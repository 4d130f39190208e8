"""Cohorts as a grid of shares: the same heat map for subscriptions and for orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from dashboard import address, charts, frame
from dashboard.queries import Query
from dashboard.tables import Column
from dashboard.view import Published, View

SHOWN_AGES = 24
AGE = "age"


@dataclass(frozen=True)
class Grid:
    """Shares by cohort (rows, by month of start) and age in months (columns); None: age not reached.

    `small` holds the customers of cohorts too small for a share; their shares are None.
    """

    months: list[date]
    ages: list[int]
    shares: list[list[float | None]]
    small: dict[date, int]
    grain: str = "month"

    @property
    def is_all_small(self) -> bool:
        return len(self.small) == len(self.months)

    def name(self, view: View, month: date) -> str:
        """A cohort's label, which says when it is too small."""
        shown = span(view, month, self.grain)
        if month not in self.small:
            return shown
        count = view.show.number(self.small[month])
        return view.text.gettext("{month} · n too small: {count}").format(month=shown, count=count)

    @property
    def frame(self) -> pl.DataFrame:
        columns = {f"age_{age}": [row[index] for row in self.shares] for index, age in enumerate(self.ages)}
        types = dict.fromkeys(columns, pl.Float64)
        names = {"cohort": self.months, "customers": [self.small.get(month) for month in self.months]}
        return pl.DataFrame({**names, **columns}, schema={"cohort": pl.Date, "customers": pl.Int64, **types})

    def columns(self, view: View) -> list[Column]:
        _ = view.text.gettext
        ages = [Column(f"age_{age}", view.show.number(age), "percent") for age in self.ages]
        small = [Column("customers", _("Customers, where too few"), "count")] if self.small else []
        start = Column("cohort", _("Start"), words=lambda start: span(view, start, self.grain))
        return [start, *small, *ages]


def span(view: View, start: date | None, grain: str) -> str:
    """A cohort's month or quarter, by its first day."""
    return view.show.quarter(start) if grain == "quarter" else view.show.month(start)


def best_grain(monthly: pl.DataFrame, size: str, min_customers: int) -> str:
    """Months, unless more than a fifth of their cohorts are too small for a share; then quarters."""
    sizes = monthly.filter(pl.col("age_months") == 0)[size]
    return "month" if 5 * (sizes < min_customers).sum() <= len(sizes) else "quarter"


def grid(
    cohorts: pl.DataFrame, part: str, whole: str, size: str, min_customers: int, grain: str = "month"
) -> Grid:
    """The share `part` / `whole` of each cohort at each age; None where the whole is not above zero.

    `size` is the column of a cohort's customers; below `min_customers` a share would mean nothing.
    """
    months = sorted(set(cohorts["cohort_month"].to_list()))
    ages = sorted(age for age in set(cohorts["age_months"].to_list()) if age <= SHOWN_AGES)
    small: dict[date, int] = {}
    cells: dict[tuple[date, int], float] = {}
    for row in cohorts.iter_rows(named=True):
        if row[size] < min_customers:
            small[row["cohort_month"]] = row[size]
        elif row[whole] and row[whole] > 0:
            share = Decimal(row[part]) / Decimal(row[whole])
            cells[row["cohort_month"], row["age_months"]] = float(share)
    return Grid(months, ages, [[cells.get((month, age)) for age in ages] for month in months], small, grain)


def key(month: date) -> str:
    """How a cohort's rows are called in the address."""
    return f"cohort-{month:%Y-%m}"


def rows_choice(view: View, rows: pl.DataFrame, grain: str = "month") -> None:
    """The way to the customers of each cohort and, once one is open, to those at each age it has reached."""
    _ = view.text.gettext
    months = sorted(set(rows["cohort_month"].to_list()), reverse=True)
    with st.container(horizontal=True, vertical_alignment="bottom", key="cohort-rows"):
        frame.rows_choice(
            view, _("Customers of a cohort"), {key(month): span(view, month, grain) for month in months}
        )
        opened = next((month for month in months if key(month) == address.read("rows")), None)
        if opened is not None:
            ages = sorted(rows.filter(pl.col("cohort_month") == opened)["age_months"].to_list(), reverse=True)
            address.choice(AGE, _("Age in months"), ages, ages[0], view.show.number, resets=("page",))


def cells_opened(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Of each cohort the row whose customers are shown: at the age the address names, or else the newest."""
    asked = address.read(AGE)
    newest = rows.sort("age_months").group_by("cohort_month", maintain_order=True).last()
    at_age = rows.filter(pl.col("age_months").cast(pl.String) == asked) if asked else rows.clear()
    wanted = {row["cohort_month"]: row for row in at_age.iter_rows(named=True)}
    return [wanted.get(row["cohort_month"], row) for row in newest.iter_rows(named=True)]


def heat_map(
    view: View,
    published: Published,
    cells: Grid,
    title: str,
    query: Query,
    values: Mapping[str, object],
    *,
    name: str = "cohorts",
    metric: str | None = None,
) -> None:
    """The grid as a heat map, or as a table; the style sheet knows by `name` how wide it has to be.

    `query` with its `values` gave the cohorts; `metric` is the share shown, where not that of the query.
    """
    _, show = view.text.gettext, view.show
    first, last = (cells.months[0], cells.months[-1]) if cells.months else (None, None)
    if cells.months and cells.is_all_small:
        st.subheader(title, anchor=False)
        st.caption(
            _(
                "Each cohort has fewer than {count} customers, too few for a share. Its rows can be opened."
            ).format(count=show.number(view.min_customers))
        )
        return
    frame.chart(
        view,
        published,
        name,
        title,
        lambda: charts.cohorts(
            [cells.name(view, month) for month in cells.months],
            cells.ages,
            cells.shares,
            view.text.is_right_to_left,
        ),
        _("{title}. {count} cohorts, from {first} to {last}.").format(
            title=title,
            count=show.number(len(cells.months)),
            first=span(view, first, cells.grain),
            last=span(view, last, cells.grain),
        ),
        cells.columns(view),
        cells.frame,
        query=query,
        values=values,
        metric=metric,
    )
