"""How hazards of accounts are judged: the protocol of repeat trade, with the curve's 90-day probability.

Rolling origins, candidates, champion rule and figures are those of `protocol`; what differs is how a
candidate is trained (hazards by cause, on the steps that had closed by the day) and which rules stand beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from churn_model import candidates, metrics, protocol
from churn_model.accounts import (
    account_directions,
    as_of_days,
    decision_days,
    hazard_panel,
    learned_rows,
    near_rows,
)
from churn_model.dataset import HORIZON_DAYS, Panel, closed_origins
from churn_model.hazard import HazardModel, Settings, curves_of, fit_hazards
from churn_model.matrix import Input
from churn_model.model import sigmoid
from churn_model.points import account_points
from churn_model.protocol import Evaluation, Prediction
from churn_model.training import Progress

Column = NDArray[np.float64]
RULES = ("base_rate", "recency_rule", "points_score")
MODELS = candidates.ADDITIVE


def fit_all(panel: Panel, inputs: Sequence[Input], day: date) -> dict[str, HazardModel]:
    """Every additive candidate as hazards, on what was known on a day; the blend's parts are fitted once."""
    known, near = (hazard_panel(rows(panel, day), inputs, day) for rows in (learned_rows, near_rows))
    settings = Settings(near_days=HORIZON_DAYS, screens=True, directions=account_directions())
    spline, boosted = (fit_hazards(known, replace(settings, candidate=name), near) for name in MODELS[:2])
    blended = replace(
        spline,
        models=tuple(map(candidates.mixed, spline.models, boosted.models)),
        far_models=tuple(map(candidates.mixed, spline.far_models, boosted.far_models)),
    )
    return dict(zip(MODELS, (spline, boosted, blended), strict=True))


def p_90_of(model: HazardModel, now: Panel) -> Column:
    """The probability to end within 90 days, by either cause."""
    return model.predict(now.x, decision_days(now.frame), as_of_days(now.frame)).p(HORIZON_DAYS)


def at_level(model: HazardModel, now: Panel, target: float) -> tuple[HazardModel, float]:
    """The hazards with all logits shifted by one number, so that the mean 90-day probability of a day's
    accounts is the target; and that number."""
    logits = model.logits(now.x, decision_days(now.frame), as_of_days(now.frame))

    def missed(shift: float) -> float:
        curves = curves_of(model.cuts, model.causes, sigmoid(logits + shift))
        return float(curves.p(HORIZON_DAYS).mean()) - min(max(target, 1e-6), 1 - 1e-6)

    shift = float(brentq(missed, -30.0, 30.0, xtol=1e-12))
    return replace(model, offsets=tuple(offset + shift for offset in model.offsets)), shift


def predict(
    panel: Panel, inputs: Sequence[Input], day: date
) -> tuple[dict[str, Prediction], dict[str, Prediction]]:
    """What every candidate, trained on what was known on a day, says of the accounts at risk on it; and what
    the models among them say at the season's level."""
    now = panel.on(day)
    last_rate = float(np.nanmean(panel.on(closed_origins(panel, day)[-1]).y))
    answers = {
        "base_rate": Prediction(np.full(len(now.y), last_rate), True),
        "recency_rule": Prediction(_silence(now, inputs), False),
        "points_score": Prediction(account_points(now.frame)[0], False),
    }
    leveled, target = {}, protocol.season_target(panel, day)
    for name, model in fit_all(panel, inputs, day).items():
        answers[name] = Prediction(p_90_of(model, now), True)
        leveled[name] = Prediction(p_90_of(at_level(model, now, target)[0], now), True)
    return answers, leveled


def _silence(now: Panel, inputs: Sequence[Input]) -> Column:
    """Days since the product was last used; without a feed, none."""
    names = [one.name for one in inputs]
    if "days_since_use" not in names:
        return np.zeros(len(now.y))
    return np.nan_to_num(now.x[:, names.index("days_since_use")], nan=0.0)


def evaluate(panel: Panel, inputs: Sequence[Input], by: date, progress: Progress) -> tuple[Evaluation, bool]:
    """Run the protocol on all that had closed by a day; also whether the champion is brought to the season's
    level, which is kept where it lowers the Brier score over the rolling origins. Raises TooLittleData."""
    protocol.require_enough(panel, by)
    tests = [day for day in protocol.default_test_dates(panel, by) if _has_both(panel.closed_by(day).y)]
    if not tests:
        raise protocol.TooLittleData(
            f"No month had closed {panel.horizon_days} days before the last closed one, so no model could be "
            "judged. Each month adds one.",
            f"لم يكتمل أي شهر قبل آخر شهر مكتمل بمدة {panel.horizon_days} يومًا، فلم يمكن الحكم على أي نموذج. "
            "ويضيف كل شهر واحدًا.",
        )
    origins = [day for day in closed_origins(panel, tests[0]) if _is_enough(panel, day)]
    said: dict[date, dict[str, Prediction]] = {}
    leveled: dict[date, dict[str, Prediction]] = {}
    for day in sorted({*origins[-protocol.MAX_ORIGINS :], *tests}):
        what = "test date" if day in tests else "rolling origin"
        progress(f"churn: accounts, {what} {day + timedelta(days=1)}")
        said[day], leveled[day] = predict(panel, inputs, day)
    rolled = {day: said[day] for day in origins[-protocol.MAX_ORIGINS :]}
    champion, log_loss = choose_champion(panel, rolled)
    with_season = season_helps(panel, rolled, leveled, champion)
    for day in tests if with_season else ():
        said[day][champion] = leveled[day][champion]
    names = (*RULES, *MODELS)
    by_candidate = {name: {day: said[day][name] for day in tests} for name in names}
    figures = tuple(
        figure for name in names for figure in protocol.figures_of(panel, name, by_candidate[name])
    )
    y = np.concatenate([panel.on(day).y for day in tests])
    p = np.concatenate([by_candidate[champion][day].p for day in tests])
    closed = panel.closed_by(by)
    features = [one.name for one in inputs]
    evaluation = Evaluation(
        champion=champion,
        origins=tuple(rolled),
        test_dates=tuple(tests),
        origin_log_loss=log_loss,
        figures=figures,
        reliability=tuple(metrics.reliability(y, p)),
        leak_gap=protocol.random_split_auc(closed, features) - protocol.mean_figure(figures, champion, "auc"),
        leak_alarms=protocol.leak_alarms(closed, features),
        predictions=by_candidate,
        origin_figures=protocol.figures_at_origins(panel, rolled),
    )
    return evaluation, with_season


def season_helps(
    panel: Panel,
    rolled: Mapping[date, Mapping[str, Prediction]],
    leveled: Mapping[date, Mapping[str, Prediction]],
    champion: str,
) -> bool:
    """Whether the season's level lowers the champion's Brier score over the origins."""

    def missed(answers: Mapping[date, Mapping[str, Prediction]]) -> float:
        return sum(float(((answers[day][champion].p - panel.on(day).y) ** 2).sum()) for day in rolled)

    return missed(leveled) < missed(rolled)


def _has_both(y: Column) -> bool:
    """Whether some left and some stayed, so that a model can learn."""
    return bool(0 < np.nansum(y) < len(y))


def _is_enough(panel: Panel, day: date) -> bool:
    """Whether a model could be trained on an origin: by the rule that a release goes by."""
    try:
        protocol.require_enough(panel, day)
    except protocol.TooLittleData:
        return False
    return True


def choose_champion(
    panel: Panel, rolled: Mapping[date, Mapping[str, Prediction]]
) -> tuple[str, dict[str, float]]:
    """The champion over the origins, and the mean log loss of each candidate; without origins the
    simplest.
    """
    if not rolled:
        return MODELS[0], {}
    customers = np.concatenate([panel.on(day).frame["customer_id"].to_numpy() for day in rolled])
    y = np.concatenate([panel.on(day).y for day in rolled])
    p = {
        name: np.concatenate([answers[name].p for answers in rolled.values()])
        for name in ("base_rate", *MODELS)
    }
    means = {name: float(metrics.log_losses(y, said).mean()) for name, said in p.items()}
    return candidates.choose_champion(y, {name: p[name] for name in MODELS}, customers), means
