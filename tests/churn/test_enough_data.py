"""When a company that has too little history for a model may expect to have enough."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from churn_model.dataset import Panel
from churn_model.run import enough_on

MONTH_ENDS = [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30)]
CLOSED = date(2024, 7, 31)


def panel(leavers: int, days: list[date]) -> Panel:
    """Month ends on each of which 200 other customers are at risk and so many of them leave."""
    as_of = [day for day in days for _ in range(200)]
    y = np.array([1.0 if place < leavers else 0.0 for _ in days for place in range(200)])
    customers = [f"{day}-{place}" for day in days for place in range(200)]
    return Panel(pl.DataFrame({"customer_id": customers, "as_of": as_of}), np.zeros((len(y), 1)), y)


def test_at_the_pace_of_the_closed_months_the_missing_leavers_take_that_many_months() -> None:
    # 80 of 200 left in four months: 120 more take six, the last ends on 31 October and closes 90 days later
    assert enough_on(panel(20, MONTH_ENDS), CLOSED) == date(2025, 1, 29)


def test_a_leaver_that_stands_in_several_months_is_counted_once() -> None:
    one = panel(20, MONTH_ENDS)
    same = pl.Series([f"c{place}" for _ in MONTH_ENDS for place in range(200)])
    again = Panel(one.frame.with_columns(customer_id=same), one.x, one.y)
    # the same 20 left in each of four months: 180 more take 36, the last ends on 30 April 2027
    assert enough_on(again, CLOSED) == date(2027, 7, 29)


def test_with_leavers_enough_the_third_month_end_decides() -> None:
    # on 14 May only the first month has closed, with 200 leavers; the third ends on 31 March
    assert enough_on(panel(200, MONTH_ENDS[:3]), date(2024, 5, 14)) == date(2024, 6, 29)


@pytest.mark.parametrize(("leavers", "days"), [(0, MONTH_ENDS), (1, MONTH_ENDS), (150, MONTH_ENDS[:2])])
def test_where_it_cannot_be_told_or_is_years_off_no_day_is_named(leavers: int, days: list[date]) -> None:
    assert enough_on(panel(leavers, days), CLOSED) is None
