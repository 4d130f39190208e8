"""How a model is judged: only on days it could not have seen, beside rules that need no model.

Rolling origins: for an origin T, training takes the snapshots whose 90-day label had closed by T, and the
test is the snapshot of T itself. The champion is chosen on origins closed before the first test date; test
dates report and never choose. No resampling, no class weights; a random split is computed only to print its
leak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from churn_model import metrics
from churn_model.dataset import HORIZON_DAYS, Panel, closed_origins
from churn_model.model import (
    AdditiveModel,
    blend,
    fit_additive_boosting,
    fit_spline_logistic,
    sigmoid,
)

Column = NDArray[np.float64]
MIN_EVENTS = 200
MIN_ORIGINS = 3
MAX_ORIGINS = 6
SEASON_WEIGHT = 50
LEAK_AUC = 0.95
RULES = ("base_rate", "recency_rule", "points_score")
MODELS = ("spline_logistic", "additive_hgb", "blend")
CANDIDATES = RULES + MODELS
"""From the simplest to the least simple: among equals the earlier wins."""


class TooLittleData(Exception):
    """Training is refused: the message says what is missing."""


@dataclass(frozen=True)
class Prediction:
    """What one candidate said on one origin. `is_probability` false: a ranking only."""

    p: Column
    is_probability: bool


@dataclass(frozen=True)
class Figure:
    """One row of churn_evaluation; `test_date` None: mean over the test dates."""

    candidate: str
    test_date: date | None
    metric: str
    value: float
    low: float | None
    high: float | None
    customers: int
    base_rate: float


@dataclass(frozen=True)
class Evaluation:
    """The whole protocol's result; `predictions[candidate][day]` covers every test date."""

    champion: str
    origins: tuple[date, ...]
    test_dates: tuple[date, ...]
    origin_log_loss: Mapping[str, float]
    figures: tuple[Figure, ...]
    reliability: tuple[tuple[int, float, float], ...]
    leak_gap: float
    leak_alarms: tuple[str, ...]
    predictions: Mapping[str, Mapping[date, Prediction]]


def points_score(panel: Panel, names: Sequence[str]) -> Column:
    """The rule that stands in without a model: points from 0 to 100, a ranking and not a probability.

    Up to 50 for silence, 30 for few orders in half a year, 20 for a silence of over twice the own rhythm.
    """
    column = {name: panel.x[:, j] for j, name in enumerate(names)}
    silence = np.clip(column["days_since_order"] / 180, 0, 1) * 50
    rare = np.clip(1 - (column["orders_180"] - 1) / 5, 0, 1) * 30
    overdue = np.where(np.nan_to_num(column["recency_over_gap"], nan=0.0) > 2, 20.0, 0.0)
    return np.asarray(np.round(silence + rare + overdue))


def fit_models(panel: Panel, names: Sequence[str]) -> dict[str, AdditiveModel]:
    """The candidate models, fitted on the rows of a panel, all closed."""
    y = panel.y.astype(bool)
    spline = fit_spline_logistic(panel.x, y, names)
    boosting = fit_additive_boosting(panel.x, y, names)
    return {
        "spline_logistic": spline,
        "additive_hgb": boosting,
        "blend": blend([spline, boosting]),
    }


def season_target(panel: Panel, day: date) -> float:
    """The mean probability to expect on a day: w x rate of the same month a year ago + (1 - w) x rate of the
    last closed origin, w = e / (e + 50), e = leavers in last year's window; w = 0 without one. Both rates
    are closed by the day."""
    origins = closed_origins(panel, day)
    last = panel.on(origins[-1]).y.mean()
    ago = [d for d in origins if (d.year, d.month) == (_in_month(day).year - 1, _in_month(day).month)]
    if not ago:
        return float(last)
    y = panel.on(ago[-1]).y
    weight = y.sum() / (y.sum() + SEASON_WEIGHT)
    return float(weight * y.mean() + (1 - weight) * last)


def _in_month(day: date) -> date:
    """A day of the month whose end is nearest: of its own from the 16th on, else of the month before."""
    return day if day.day > 15 else day.replace(day=1) - timedelta(days=1)


def season_offset(logit: Column, target: float) -> float:
    """The shift of all logits that brings the mean probability to the target."""
    inside = min(max(target, 1e-6), 1 - 1e-6)
    return float(brentq(lambda shift: float(sigmoid(logit + shift).mean()) - inside, -30.0, 30.0, xtol=1e-12))


def require_enough(panel: Panel, day: date) -> None:
    """Raises TooLittleData under 200 leavers or 3 closed origins."""
    origins = closed_origins(panel, day)
    events = int(np.nansum(panel.closed_by(day).y))
    if len(origins) < MIN_ORIGINS or events < MIN_EVENTS:
        raise TooLittleData(
            f"{events} customers left in {len(origins)} closed months; training needs {MIN_EVENTS} and "
            f"{MIN_ORIGINS}. Each month adds one snapshot, which closes {HORIZON_DAYS} days later."
        )


def default_test_dates(panel: Panel, by: date) -> list[date]:
    """The last closed month end, and the last one at least 90 days before it."""
    origins = closed_origins(panel, by)
    if not origins:
        return []
    earlier = [day for day in origins if (origins[-1] - day).days >= HORIZON_DAYS]
    return [*earlier[-1:], origins[-1]]


def predict(panel: Panel, names: Sequence[str], day: date) -> dict[str, Prediction]:
    """What every candidate, trained on what had closed by a day, says of the customers at risk on it."""
    known, now = panel.closed_by(day), panel.on(day)
    target = season_target(panel, day)
    recency = now.x[:, list(names).index("days_since_order")]
    answers = {
        "base_rate": Prediction(np.full(len(now.y), panel.on(closed_origins(panel, day)[-1]).y.mean()), True),
        "recency_rule": Prediction(recency, False),
        "points_score": Prediction(points_score(now, names), False),
    }
    for name, model in fit_models(known, names).items():
        logit = model.logit(now.x)
        answers[name] = Prediction(sigmoid(logit + season_offset(logit, target)), True)
    return answers


def evaluate(
    panel: Panel,
    names: Sequence[str],
    by: date,
    *,
    test_dates: Sequence[date] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Run the protocol on all that had closed by a day. Raises TooLittleData."""
    require_enough(panel, by)
    tests = list(test_dates or default_test_dates(panel, by))
    first_test = tests[0]
    origins = [
        day
        for day in closed_origins(panel, first_test)
        if len(closed_origins(panel, day)) >= MIN_ORIGINS and panel.closed_by(day).y.sum() >= MIN_EVENTS
    ][-MAX_ORIGINS:]
    rolled = {}
    for day in origins:
        progress(f"churn: rolling origin {day}")
        rolled[day] = predict(panel, names, day)
    tested = {}
    for day in tests:
        progress(f"churn: test date {day + timedelta(days=1)}")
        tested[day] = predict(panel, names, day)
    champion, log_loss = choose_champion(panel, rolled)
    by_candidate = {name: {day: tested[day][name] for day in tests} for name in CANDIDATES}
    figures = tuple(figure for name in CANDIDATES for figure in figures_of(panel, name, by_candidate[name]))
    temporal = mean_figure(figures, champion, "auc")
    y = np.concatenate([panel.on(day).y for day in tests])
    p = np.concatenate([by_candidate[champion][day].p for day in tests])
    return Evaluation(
        champion=champion,
        origins=tuple(origins),
        test_dates=tuple(tests),
        origin_log_loss=log_loss,
        figures=figures,
        reliability=tuple(metrics.reliability(y, p)),
        leak_gap=random_split_auc(panel.closed_by(by), names) - temporal,
        leak_alarms=leak_alarms(panel.closed_by(by), names),
        predictions=by_candidate,
    )


def choose_champion(
    panel: Panel, rolled: Mapping[date, Mapping[str, Prediction]]
) -> tuple[str, dict[str, float]]:
    """The model with the lowest log loss over the origins; of those within one standard error of it (paired
    by origin and customer) the simplest. Without origins the first model. Also the mean log loss of each."""
    if not rolled:
        return MODELS[0], {}
    customers = np.concatenate([panel.on(day).frame["customer_id"].to_numpy() for day in rolled])
    losses = {
        name: np.concatenate([metrics.log_losses(panel.on(day).y, rolled[day][name].p) for day in rolled])
        for name in ("base_rate", *MODELS)
    }
    means = {name: float(values.mean()) for name, values in losses.items()}
    best = min(MODELS, key=lambda name: means[name])
    _, codes = np.unique(customers, return_inverse=True)
    for name in MODELS:
        difference = losses[name] - losses[best]
        sums = np.bincount(codes, weights=difference - difference.mean())
        error = float(np.sqrt((sums**2).sum()) / len(difference))
        if difference.mean() <= error:
            return name, means
    return best, means


def figures_of(panel: Panel, candidate: str, by_day: Mapping[date, Prediction]) -> list[Figure]:
    """All figures of one candidate: each test date, then the mean over them with its interval."""
    rows: dict[str, list[tuple[date, float, Column | None, int, float]]] = {}
    on_days = {day: panel.on(day).frame["customer_id"].to_numpy() for day in by_day}
    customers_of_all = np.unique(np.concatenate(list(on_days.values())))
    # one weight a customer and draw, the same on every day: customers repeat, and so do their outcomes
    weight_of = metrics.bootstrap_weights(len(customers_of_all), seed=0)
    for day, prediction in by_day.items():
        y, p = panel.on(day).y, prediction.p
        weights = weight_of[:, np.searchsorted(customers_of_all, on_days[day])]
        measured: dict[str, tuple[float, Column | None]] = {
            "auc": (float(metrics.auc(y, p)[0]), metrics.auc(y, p, weights)),
            "ap": (
                float(metrics.average_precision(y, p)[0]),
                metrics.average_precision(y, p, weights),
            ),
        }
        if np.ptp(p) > 0:
            measured["lift_10"] = (metrics.lift(y, p), None)
        if prediction.is_probability:
            measured["brier"] = (float(metrics.brier(y, p)[0]), metrics.brier(y, p, weights))
            measured["log_loss"] = (float(metrics.log_losses(y, p).mean()), None)
            measured["ece"] = (metrics.ece(y, p), None)
        for metric, (value, draws) in measured.items():
            rows.setdefault(metric, []).append((day, value, draws, len(y), float(y.mean())))
    figures = []
    for metric, entries in rows.items():
        for day, value, draws, customers, base in entries:
            low, high = metrics.interval(draws) if draws is not None else (None, None)
            test_date = day + timedelta(days=1)
            figures.append(Figure(candidate, test_date, metric, value, low, high, customers, base))
        all_draws = [entry[2] for entry in entries]
        low, high = (
            metrics.interval(np.mean([draws for draws in all_draws if draws is not None], axis=0))
            if all(draws is not None for draws in all_draws)
            else (None, None)
        )
        mean = float(np.mean([entry[1] for entry in entries]))
        customers = sum(entry[3] for entry in entries)
        base = float(np.mean([entry[4] for entry in entries]))
        figures.append(Figure(candidate, None, metric, mean, low, high, customers, base))
    return figures


def mean_figure(figures: Sequence[Figure], candidate: str, metric: str) -> float:
    """The mean over test dates."""
    return next(
        f.value for f in figures if f.candidate == candidate and f.metric == metric and f.test_date is None
    )


def leak_alarms(panel: Panel, names: Sequence[str]) -> tuple[str, ...]:
    """The features that alone rank leavers almost perfectly: probably made after the outcome."""
    alarms = []
    for j, name in enumerate(names):
        known = ~np.isnan(panel.x[:, j])
        alone = [(panel.y[known], panel.x[known, j]), (panel.y, known.astype(np.float64))]
        areas = [float(metrics.auc(y, x)[0]) for y, x in alone if len(y) and 0 < y.sum() < len(y)]
        if any(max(area, 1 - area) > LEAK_AUC for area in areas):
            alarms.append(name)
    return tuple(alarms)


def random_split_auc(panel: Panel, names: Sequence[str]) -> float:
    """The AUC a random split of rows would show: the same customers on both sides, so too good. Printed only
    as a leak."""
    is_test = np.random.default_rng(0).random(len(panel.y)) < 0.2
    model = fit_spline_logistic(panel.x[~is_test], panel.y[~is_test].astype(bool), names)
    return float(metrics.auc(panel.y[is_test], model.logit(panel.x[is_test]))[0])
