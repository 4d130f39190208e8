"""What a model's logits lack when its ranking is right: the season's level, and how far they spread.

Error here is mostly season, not shape. The season offset is one number, added to all logits. The slope of a
sigmoid on the newest closed origin (platt.py) spreads or draws in all logits alike. Neither changes a rank or
a reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from churn_model.dataset import Panel, closed_origins
from churn_model.model import AdditiveModel, sigmoid

Column = NDArray[np.float64]
SEASON_WEIGHT = 50
HALF_MONTH = 16


def season_target(panel: Panel, day: date, *, with_season: bool = True) -> float:
    """The mean probability to expect on a day: w x rate of the same time a year ago + (1 - w) x rate of the
    last closed origin, w = e / (e + 50), e = leavers in last year's window; w = 0 without one, or without
    season. Both rates are closed by the day."""
    last = panel.on(closed_origins(panel, day)[-1]).y.mean()
    ago = a_year_before(panel, day) if with_season else None
    if ago is None:
        return float(last)
    y = panel.on(ago).y
    weight = y.sum() / (y.sum() + SEASON_WEIGHT)
    return float(weight * y.mean() + (1 - weight) * last)


def a_year_before(panel: Panel, day: date) -> date | None:
    """The closed origin that is nearest to the day a year before; None where none is within half a month."""
    year = timedelta(days=365)
    near = [(abs(day - year - one), one) for one in closed_origins(panel, day)]
    distance, origin = min(near, default=(year, day))
    return origin if distance <= timedelta(days=HALF_MONTH) else None


def season_offset(logit: Column, target: float) -> float:
    """The shift of all logits that brings the mean probability to the target."""
    inside = min(max(target, 1e-6), 1 - 1e-6)
    return float(brentq(lambda shift: float(sigmoid(logit + shift).mean()) - inside, -30.0, 30.0, xtol=1e-12))


def spread(model: AdditiveModel, slope: float) -> AdditiveModel:
    """The model with all logits times a slope: additive again."""
    if slope == 1.0:
        return model
    terms = tuple(tuple((slope * weight, term) for weight, term in parts) for parts in model.terms)
    return replace(model, intercept=slope * model.intercept, terms=terms)
