"""How a model is judged: only on days it could not have seen, beside rules that need no model.

Rolling origins: for an origin T, training takes the snapshots whose label had closed by T, and the test is
the snapshot of T itself. The champion is chosen on origins closed before the first test date; test dates
report and never choose. No resampling, no class weights; a random split is computed only to print its leak.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn_model import candidates, metrics
from churn_model.calibration import season_offset, season_target
from churn_model.dataset import Panel, closed_origins
from churn_model.figures import Figure, Gain, Prediction, figures_of, gains_of, lead_times, mean_figure
from churn_model.matrix import numbers
from churn_model.model import AdditiveModel, blend, fit_additive_boosting, fit_spline_logistic, sigmoid
from churn_model.platt import fit_sigmoid
from churn_model.result import TooLittleData

__all__ = [
    "Evaluation",
    "Figure",
    "Gain",
    "Prediction",
    "TooLittleData",
    "evaluate",
    "figures_of",
    "fit_models",
    "leavers",
    "mean_figure",
    "predict",
    "require_enough",
    "season_offset",
    "season_target",
]

Column = NDArray[np.float64]
MIN_EVENTS = 200
"""Of `leavers`: the snapshots that hold one customer's one leaving count once."""
MIN_ORIGINS = 3
MAX_ORIGINS = 6
KNOTS = 3
"""Of the splines, by feature; more follow chance (docs/churn.md says how it was chosen)."""
YEAR_OF_ORIGINS = 12
"""The champion of repeat trade is chosen on up to a year of months, so that every season has its say."""
LEAK_AUC = 0.95
RULES = ("base_rate", "recency_rule", "points_score")
MODELS = candidates.ADDITIVE
CANDIDATES = RULES + candidates.CANDIDATES
"""From the simplest to the least simple: among equals the earlier wins."""


@dataclass(frozen=True)
class Evaluation:
    """The whole protocol's result; `predictions[candidate][day]` covers every test date, `origin_figures` the
    rolling origins that chose the champion.

    `slopes`: by test date, the slope of the champion's calibration; empty where it was not kept. `slope`:
    that of the model trained on all that had closed (`calibration.spread`); 1 where it was not kept.
    """

    champion: str
    origins: tuple[date, ...]
    test_dates: tuple[date, ...]
    origin_log_loss: Mapping[str, float]
    figures: tuple[Figure, ...]
    reliability: tuple[tuple[int, float, float], ...]
    leak_gap: float
    leak_alarms: tuple[str, ...]
    predictions: Mapping[str, Mapping[date, Prediction]]
    gains: tuple[Gain, ...] = ()
    lead_times: tuple[tuple[int, int, int], ...] = ()
    slopes: Mapping[date, float] = field(default_factory=dict)
    slope: float = 1.0
    origin_figures: tuple[Figure, ...] = ()


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
    """The candidates that are sums of one function per feature, fitted on the rows of a panel, all closed."""
    y = panel.y.astype(bool)
    spline = fit_spline_logistic(panel.x, y, names, count=KNOTS)
    boosting = fit_additive_boosting(panel.x, y, names)
    return {"spline_logistic": spline, "additive_hgb": boosting, "blend": blend([spline, boosting])}


def leavers(panel: Panel) -> int:
    """How many times a customer left: a leaving stands in each snapshot whose window holds it, and counts
    once.

    Of accounts by customer and the day of the end. Of repeat trade by customer and the run of days one after
    the other on which its label says so: who left, came back and left again counts twice.
    """
    left = panel.frame.with_columns(left=pl.Series(panel.y == 1))
    if "ended_on" in left.columns:
        return left.filter("left").select("customer_id", "ended_on").n_unique()
    days = left.with_columns(place=pl.col("as_of").rank("dense").cast(pl.Int64)).filter("left")
    steps = days.sort("customer_id", "place").select(pl.col("place").diff().over("customer_id").fill_null(2))
    return int((steps["place"] > 1).sum())


def require_enough(panel: Panel, day: date, min_events: int = MIN_EVENTS) -> None:
    """Raises TooLittleData under 200 leavers or 3 closed origins."""
    origins = closed_origins(panel, day)
    events = leavers(panel.closed_by(day))
    if len(origins) < MIN_ORIGINS or events < min_events:
        raise TooLittleData(
            f"{events} customers left in {len(origins)} closed months; training needs {min_events} and "
            f"{MIN_ORIGINS}. Each month adds one snapshot, which closes {panel.horizon_days} days later.",
            f"عدد المغادرين {events} والأشهر المكتملة {len(origins)}؛ ويحتاج التدريب إلى {min_events} "
            f"و{MIN_ORIGINS}. يضيف كل شهر لقطة واحدة تكتمل بعد {panel.horizon_days} يومًا.",
        )


def default_test_dates(panel: Panel, by: date) -> list[date]:
    """The last closed month end, and the last one at least a horizon before it."""
    origins = closed_origins(panel, by)
    if not origins:
        return []
    earlier = [day for day in origins if (origins[-1] - day).days >= panel.horizon_days]
    return [*earlier[-1:], origins[-1]]


def predict(
    panel: Panel,
    names: Sequence[str],
    day: date,
    *,
    with_season: bool = True,
    with_interactions: bool = True,
) -> dict[str, Prediction]:
    """What every candidate, trained on what had closed by a day, says of the customers at risk on it; without
    interactions those that are sums of one function per feature."""
    known, now = panel.closed_by(day), panel.on(day)
    target = season_target(panel, day, with_season=with_season)
    recency = now.x[:, list(names).index("days_since_order")]
    last_rate = panel.on(closed_origins(panel, day)[-1]).y.mean()
    answers = {
        "base_rate": Prediction(np.full(len(now.y), last_rate), True),
        "recency_rule": Prediction(recency, False),
        "points_score": Prediction(points_score(now, names), False),
    }
    if with_interactions:
        fitted = candidates.fit_all(known.x, known.y.astype(bool), numbers(names), {}, KNOTS)
    else:
        fitted = dict(fit_models(known, names))
    for name, model in fitted.items():
        answers[name] = at_level(model.logit(now.x), target)
    return answers


def at_level(logit: Column, target: float) -> Prediction:
    """Probabilities whose mean is the season's."""
    return Prediction(sigmoid(logit + season_offset(logit, target)), True, logit)


def evaluate(
    panel: Panel,
    names: Sequence[str],
    by: date,
    *,
    test_dates: Sequence[date] | None = None,
    min_events: int = MIN_EVENTS,
    with_season: bool = True,
    with_interactions: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluation:
    """Run the protocol on all that had closed by a day; `test_dates` are as-of days. Raises TooLittleData.

    `with_interactions`: a candidate with interactions may be champion, by the rule of `candidates`.
    """
    require_enough(panel, by, min_events)
    tests = list(test_dates or default_test_dates(panel, by))
    require_enough(panel, tests[0], min_events)
    said: dict[date, dict[str, Prediction]] = {}

    def said_on(day: date, what: str) -> dict[str, Prediction]:
        if day not in said:
            progress(f"churn: {what}")
            fits_all = with_interactions or day in tests
            said[day] = predict(panel, names, day, with_season=with_season, with_interactions=fits_all)
        return said[day]

    origins = [
        day
        for day in closed_origins(panel, tests[0])
        if len(closed_origins(panel, day)) >= MIN_ORIGINS and leavers(panel.closed_by(day)) >= min_events
    ][-YEAR_OF_ORIGINS:]
    rolled = {day: said_on(day, f"rolling origin {day}") for day in origins}
    tested = {day: dict(said_on(day, f"test date {day + timedelta(days=1)}")) for day in tests}
    champion, log_loss = choose_champion(panel, rolled, with_interactions=with_interactions)
    slopes: dict[date, float] = {}
    slope = 1.0
    if slope_helps(panel, rolled, champion, with_season=with_season):
        for day in tests:
            newest = closed_origins(panel, day)[-1]
            earlier = said_on(newest, f"calibration on {newest}")[champion]
            tested[day][champion], slopes[day] = _calibrated(
                panel, day, tested[day][champion], newest, earlier, with_season=with_season
            )
        newest = closed_origins(panel, by)[-1]
        logit = said_on(newest, f"calibration on {newest}")[champion].logit
        assert logit is not None
        slope = fit_sigmoid(logit, panel.on(newest).y).slope
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
        gains=tuple(gains_of(panel, champion, by_candidate)),
        lead_times=tuple(lead_times(panel, tests)),
        slopes=slopes,
        slope=slope,
        origin_figures=figures_at_origins(panel, rolled),
    )


def figures_at_origins(panel: Panel, rolled: Mapping[date, Mapping[str, Prediction]]) -> tuple[Figure, ...]:
    """The figures of every candidate and rule that was judged on all of the rolling origins."""
    if not rolled:
        return ()
    names = [
        name for name in next(iter(rolled.values())) if all(name in answers for answers in rolled.values())
    ]
    return tuple(
        figure
        for name in names
        for figure in figures_of(panel, name, {day: answers[name] for day, answers in rolled.items()})
    )


def choose_champion(
    panel: Panel,
    rolled: Mapping[date, Mapping[str, Prediction]],
    *,
    with_interactions: bool = False,
) -> tuple[str, dict[str, float]]:
    """The champion over the origins by the rule of `candidates.choose_champion`, a customer's rows being one
    group; without origins the first model. Also the mean log loss of each candidate."""
    if not rolled:
        return MODELS[0], {}
    customers = np.concatenate([panel.on(day).frame["customer_id"].to_numpy() for day in rolled])
    y = np.concatenate([panel.on(day).y for day in rolled])
    allowed = (*MODELS, *candidates.WITH_INTERACTIONS) if with_interactions else MODELS
    p = {
        name: np.concatenate([answers[name].p for answers in rolled.values()])
        for name in ("base_rate", *allowed)
    }
    means = {name: float(metrics.log_losses(y, said).mean()) for name, said in p.items()}
    return candidates.choose_champion(y, {name: p[name] for name in allowed}, customers), means


def slope_helps(
    panel: Panel,
    rolled: Mapping[date, Mapping[str, Prediction]],
    champion: str,
    *,
    with_season: bool = True,
) -> bool:
    """Whether a slope fitted on each origin's newest closed one lowers the Brier score over the origins."""
    before, after = 0.0, 0.0
    for day, answers in rolled.items():
        newest = closed_origins(panel, day)[-1]
        if newest in rolled:
            now, earlier = answers[champion], rolled[newest][champion]
            calibrated, _ = _calibrated(panel, day, now, newest, earlier, with_season=with_season)
            before += float(((now.p - panel.on(day).y) ** 2).sum())
            after += float(((calibrated.p - panel.on(day).y) ** 2).sum())
    return after < before


def _calibrated(
    panel: Panel, day: date, now: Prediction, newest: date, earlier: Prediction, *, with_season: bool
) -> tuple[Prediction, float]:
    """A day's prediction with the slope that fits the newest closed origin, and that slope."""
    assert now.logit is not None
    assert earlier.logit is not None
    slope = fit_sigmoid(earlier.logit, panel.on(newest).y).slope
    target = season_target(panel, day, with_season=with_season)
    return replace(at_level(slope * now.logit, target), logit=now.logit), slope


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
    model = fit_spline_logistic(panel.x[~is_test], panel.y[~is_test].astype(bool), names, count=KNOTS)
    return float(metrics.auc(panel.y[is_test], model.logit(panel.x[is_test]))[0])
