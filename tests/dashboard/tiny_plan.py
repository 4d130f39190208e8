"""Forecasts of the small company, what it was first reported to have, and what of its changes is noise.

The survival model says 10.00 more each month, with an interval of a tenth around it. Past forecasts of it
were off by 1.00 for each month ahead, those of the last value by 5.00.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

Insert = Callable[[Any, str, Sequence[Mapping[str, Any]]], None]
METHODS = {"survival": 100, "last_value": 500, "last_value_and_trend": 200}
PAST_ORIGINS, HORIZONS = 3, 12


def after(month: date, months: int) -> date:
    index = month.year * 12 + month.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def fill(connection: Any, insert: Insert, months: Sequence[date], closing: Sequence[Decimal]) -> None:
    """Forecasts from the last month and from three before it, the record of each method, and two verdicts."""
    record: dict[tuple[str, int], list[tuple[Decimal, Decimal]]] = {}
    for back in range(PAST_ORIGINS + 1):
        place = len(months) - 1 - back
        for method, off in METHODS.items():
            for horizon in range(1, HORIZONS + 1):
                there = place + horizon
                actual = closing[there] if there < len(months) else None
                point = closing[place] + 1000 * horizon if actual is None else actual + off * horizon
                if actual is not None:
                    record.setdefault((method, horizon), []).append((point - actual, actual))
                _forecast(connection, insert, months, place, method, horizon, point, actual)
    for (method, horizon), errors in record.items():
        size = sum((abs(error) for error, _actual in errors), Decimal(0))
        came = sum((actual for _error, actual in errors), Decimal(0))
        insert(
            connection,
            "marts.fct_forecast_backtest",
            [
                {
                    "currency": "EUR",
                    "segment": "all",
                    "method": method,
                    "horizon_months": horizon,
                    "origins": len(errors),
                    "error_size": size,
                    "error_sum": size,
                    "actual_sum": came,
                    "mean_absolute_error": float(size / len(errors)),
                    "bias": float(size / len(errors)),
                    "error_share": float(size / came),
                    "bias_share": float(size / came),
                    "intervals": len(errors),
                    "covered": len(errors),
                    "coverage": 1.0,
                }
            ],
        )
    for metric_id, verdict in (("nrr_12m", "within_noise"), ("gross_mrr_churn", "changed")):
        insert(
            connection,
            "marts.fct_metric_changes",
            [
                {
                    "month": months[-1],
                    "currency": "EUR",
                    "segment": "all",
                    "metric_id": metric_id,
                    "compared_to": "month_before",
                    "earlier_month": months[-2],
                    "verdict": verdict,
                }
            ],
        )
    insert(
        connection,
        "marts.fct_restatements",
        [
            {
                "metric_id": "mrr",
                "month": months[-1],
                "currency": "EUR",
                "segment": "all",
                "first_numerator": Decimal(55_000),
                "numerator": closing[-1],
                "times_restated": 1,
            }
        ],
    )


def _forecast(
    connection: Any,
    insert: Insert,
    months: Sequence[date],
    place: int,
    method: str,
    horizon: int,
    point: Decimal,
    actual: Decimal | None,
) -> None:
    is_latest = place == len(months) - 1
    insert(
        connection,
        "marts.fct_forecast",
        [
            {
                "currency": "EUR",
                "segment": "all",
                "origin_month": months[place],
                "horizon_months": horizon,
                "method": method,
                "target_month": after(months[place], horizon),
                "is_latest": is_latest,
                "is_headline": method == "survival",
                "headline_why": "lowest_error" if method == "survival" else None,
                "point_mrr": point,
                "low_mrr": point * 9 / 10,
                "high_mrr": point * 11 / 10,
                "is_simulated": False,
                "actual_mrr": actual,
                "error_mrr": None if actual is None else point - actual,
                "is_compared": actual is not None,
            }
        ],
    )
