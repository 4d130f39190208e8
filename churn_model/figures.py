"""What a candidate's predictions are worth on the test dates: figures with intervals, and what it gains.

Customers repeat from date to date, and so do their outcomes: a draw of the bootstrap gives each customer one
weight, the same on every date and for every candidate. The interval of a mean over dates, and that of a
difference between two candidates, are made of such draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from churn_model import metrics
from churn_model.dataset import Panel

Column = NDArray[np.float64]
LEAD_TIMES = (7, 30, 60)
"""Days after the as-of day at which the lead-time table is cut; the last class ends with the horizon."""


@dataclass(frozen=True)
class Prediction:
    """What one candidate said on one origin. `is_probability` false: a ranking only. `logit`: a model's,
    before the season."""

    p: Column
    is_probability: bool
    logit: Column | None = None


@dataclass(frozen=True)
class Figure:
    """One row of churn_evaluation; `test_date` None: mean over the test dates. A metric that ends with
    `_after_a_week` takes for leaving that no order came from day 8 to day h + 7."""

    candidate: str
    test_date: date | None
    metric: str
    value: float
    low: float | None
    high: float | None
    customers: int
    base_rate: float


@dataclass(frozen=True)
class Gain:
    """How much better the champion is than another candidate, mean over the test dates, with its interval.
    Positive is better, for brier too."""

    candidate: str
    metric: str
    value: float
    low: float
    high: float


def figures_of(panel: Panel, candidate: str, by_day: Mapping[date, Prediction]) -> list[Figure]:
    """All figures of one candidate: each test date, then the mean over them with its interval."""
    weight_of = _weights(panel, list(by_day))
    rows: dict[str, list[tuple[date, float, Column | None, int, float]]] = {}
    for day, prediction in by_day.items():
        now = panel.on(day)
        measured = _measured(now.y, prediction, weight_of[day])
        if "trailing_revenue_minor" in now.frame.columns and np.ptp(prediction.p) > 0:
            revenue = now.frame["trailing_revenue_minor"].fill_null(0).to_numpy().astype(np.float64)
            measured["revenue_10"] = (metrics.revenue_share(now.y, prediction.p, revenue), None)
        for metric, (value, draws) in measured.items():
            rows.setdefault(metric, []).append((day, value, draws, len(now.y), float(now.y.mean())))
        later = _after_a_week(now)
        if later is not None:
            chosen, y = later
            said = Prediction(prediction.p[chosen], prediction.is_probability)
            for metric, (value, draws) in _measured(y, said, weight_of[day][:, chosen]).items():
                name = f"{metric}_after_a_week"
                rows.setdefault(name, []).append((day, value, draws, len(y), float(y.mean())))
    figures = []
    for metric, entries in rows.items():
        for day, value, draws, customers, base in entries:
            low, high = metrics.interval(draws) if draws is not None else (None, None)
            test_date = day + timedelta(days=1)
            figures.append(Figure(candidate, test_date, metric, value, low, high, customers, base))
        known = [entry[2] for entry in entries if entry[2] is not None]
        low, high = metrics.interval(np.mean(known, axis=0)) if len(known) == len(entries) else (None, None)
        mean = float(np.mean([entry[1] for entry in entries]))
        customers = sum(entry[3] for entry in entries)
        base = float(np.mean([entry[4] for entry in entries]))
        figures.append(Figure(candidate, None, metric, mean, low, high, customers, base))
    return figures


def _measured(y: Column, prediction: Prediction, weights: Column) -> dict[str, tuple[float, Column | None]]:
    """Each figure and its draws."""
    p = prediction.p
    measured: dict[str, tuple[float, Column | None]] = {
        "auc": (float(metrics.auc(y, p)[0]), metrics.auc(y, p, weights)),
        "ap": (float(metrics.average_precision(y, p)[0]), metrics.average_precision(y, p, weights)),
    }
    if np.ptp(p) > 0:
        measured["lift_10"] = (metrics.lift(y, p), None)
    if prediction.is_probability:
        measured["brier"] = (float(metrics.brier(y, p)[0]), metrics.brier(y, p, weights))
        measured["log_loss"] = (float(metrics.log_losses(y, p).mean()), None)
        measured["ece"] = (metrics.ece(y, p), None)
    return measured


def _weights(panel: Panel, days: Sequence[date]) -> dict[date, Column]:
    """Draws x rows for each day: one weight a customer and draw, the same on every day."""
    on_days = {day: panel.on(day).frame["customer_id"].to_numpy() for day in days}
    customers = np.unique(np.concatenate(list(on_days.values())))
    weights = metrics.bootstrap_weights(len(customers), seed=0)
    return {day: weights[:, np.searchsorted(customers, there)] for day, there in on_days.items()}


def _after_a_week(now: Panel) -> tuple[NDArray[np.bool_], Column] | None:
    """Who has a closed label of days 8 to h + 7 (a mask of the rows), and that label; None without any."""
    if "churned_after_a_week" not in now.frame.columns:
        return None
    column = now.frame["churned_after_a_week"]
    known = column.is_not_null().to_numpy()
    if not known.any():
        return None
    return known, column.drop_nulls().cast(float).to_numpy()


def gains_of(panel: Panel, champion: str, predictions: Mapping[str, Mapping[date, Prediction]]) -> list[Gain]:
    """The champion against every other candidate: AUC, average precision and, of probabilities, Brier."""
    days = list(predictions[champion])
    weight_of = _weights(panel, days)
    draws = {
        name: {
            "auc": [metrics.auc(panel.on(day).y, by_day[day].p, _with_whole(weight_of[day])) for day in days],
            "ap": [
                metrics.average_precision(panel.on(day).y, by_day[day].p, _with_whole(weight_of[day]))
                for day in days
            ],
            "brier": [
                -metrics.brier(panel.on(day).y, by_day[day].p, _with_whole(weight_of[day])) for day in days
            ],
        }
        for name, by_day in predictions.items()
    }
    gains = []
    for name, by_day in predictions.items():
        both = all(one.is_probability for one in by_day.values())
        for metric in ("auc", "ap", "brier") if both else ("auc", "ap"):
            if name != champion:
                gain = np.mean(draws[champion][metric], axis=0) - np.mean(draws[name][metric], axis=0)
                gains.append(Gain(name, metric, float(gain[0]), *metrics.interval(gain[1:])))
    return gains


def _with_whole(weights: Column) -> Column:
    """The draws, after one in which every row counts once."""
    return np.vstack([np.ones(weights.shape[1]), weights])


def lead_times(panel: Panel, days: Sequence[date]) -> list[tuple[int, int, int]]:
    """Of those who ordered again on the test dates, when: (from day, to day, customers). Who orders within
    the first week would have come without a call."""
    found = (
        np.concatenate([panel.on(day).frame["days_to_next_order"].drop_nulls().to_numpy() for day in days])
        if "days_to_next_order" in panel.frame.columns
        else np.array([])
    )
    cuts = [cut for cut in LEAD_TIMES if cut < panel.horizon_days] + [panel.horizon_days]
    starts = [1, *(cut + 1 for cut in cuts[:-1])]
    return [
        (start, end, int(((found >= start) & (found <= end)).sum()))
        for start, end in zip(starts, cuts, strict=True)
    ]


def mean_figure(figures: Sequence[Figure], candidate: str, metric: str) -> float:
    """The mean over test dates."""
    return next(
        f.value for f in figures if f.candidate == candidate and f.metric == metric and f.test_date is None
    )
