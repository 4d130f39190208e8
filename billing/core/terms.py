"""The term of a contract: how long it runs when pauses lengthen it, and when its end is reminded of."""

from collections.abc import Iterable
from datetime import date

import polars as pl

REMINDER_DAYS = (90, 60, 30)
"""How many days before the end of a term its customer is reminded."""


def extended_end(start: date, agreed_end: date, pauses: Iterable[tuple[date, date]]) -> date:
    """The end of a term that is longer by the days paused in it: a pause that begins before the end, as it
    then is, moves it by its days. pauses: half-open; time paused before the start does not count."""
    end, counted = agreed_end, start
    for first, last in sorted(pauses):
        first = max(first, counted)
        if first >= end:
            break
        if last > first:
            end += last - first
            counted = last
    return end


def reminder_due(start: pl.Expr, end: pl.Expr, today: pl.Expr) -> pl.Expr:
    """Which of REMINDER_DAYS was reached last, null for none: none is sent once the term is over, and none
    whose day lies before the term began."""
    left, length = (end - today).dt.total_days(), (end - start).dt.total_days()
    due = pl.lit(None, pl.Int64)
    for days in sorted(REMINDER_DAYS, reverse=True):
        due = pl.when((left > 0) & (left <= days)).then(days).otherwise(due)
    return pl.when(due <= length).then(due)
