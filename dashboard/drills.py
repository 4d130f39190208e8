"""The rows behind a number: which they are, a page of them, and whether they add up to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from dashboard.queries import SUMS, Query
from dashboard.tables import Column
from dashboard.view import Published

PAGE_ROWS = 100
EXPORT_ROWS = 200_000


@dataclass(frozen=True)
class Check:
    """A column whose sum over all rows has to be a number that stands on the page."""

    column: Column
    expected: Decimal | int | None


@dataclass(frozen=True)
class Drill:
    """The rows behind a number: `query` gives all of them; each check adds up to what the page shows.

    `adds` puts columns beside those of the query that only words can fill.
    """

    key: str
    title: str
    query: Query
    values: Mapping[str, object]
    columns: Sequence[Column]
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()
    expected_rows: int | None = None
    metric: str | None = None
    adds: Callable[[pl.DataFrame], pl.DataFrame] = lambda rows: rows

    @property
    def metric_id(self) -> str | None:
        """The metric of the registry that the number is a value of."""
        return self.metric or self.query.metric


def sums(published: Published, one: Drill) -> dict[str, Any]:
    """Over all rows behind a number: their count as `row_count`, and the sum of each checked column."""
    parts = "".join(f", sum({check.column.name}) AS {check.column.name}" for check in one.checks)
    query = Query(
        one.query.name + SUMS,
        f"SELECT count(*)::BIGINT AS row_count{parts}\nFROM (\n{one.query.sql.strip()}\n)",
    )
    return published.rows(query, **one.values).row(0, named=True)


def matches(total: object, expected: object) -> bool:
    """Whether a sum is exactly the number shown; no rows count as zero.

    The last digits of a sum of probabilities depend on the order of adding: nine places are compared.
    """
    if isinstance(total, float) or isinstance(expected, float):
        return round(float(str(total or 0)), 9) == round(float(str(expected or 0)), 9)
    return Decimal(str(total or 0)) == Decimal(str(expected or 0))


def page_of(published: Published, one: Drill, page: int, size: int = PAGE_ROWS) -> pl.DataFrame:
    """One page of the rows behind a number, in their order."""
    query = Query(one.query.name, one.query.sql.rstrip() + "\nLIMIT $limit OFFSET $offset", one.query.metric)
    return published.rows(query, **one.values, limit=size, offset=(page - 1) * size)


def to_take_away(published: Published, one: Drill) -> pl.DataFrame:
    """The rows as a file holds them: all of them, up to EXPORT_ROWS."""
    return one.adds(page_of(published, one, 1, EXPORT_ROWS))
