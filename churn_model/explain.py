"""Reasons: each customer's score taken apart, exactly.

c_j = f_j(x_j) - f_j(reference_j), the reference being the median training customer. base + sum of c_j is the
logit: explaining is scoring. Points put the same parts on the scale people read: on the straight line from
reference to customer in logit space, points_j = c_j (P(b + C) - P(b)) / C with C the sum of c_j, so that they
add up to p - p_reference. Features of one theme are summed before they are ranked. The sentences state what
is; they do not say "because".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn_model.dataset import Feature
from churn_model.model import AdditiveModel, sigmoid

Column = NDArray[np.float64]
SMALL = 1e-9


@dataclass(frozen=True)
class Explanation:
    """`contributions` and `points`: rows x features; `logit`, `p`: rows; `base_logit` without the season."""

    base_logit: float
    season_offset: float
    p_reference: float
    logit: Column
    p: Column
    contributions: Column
    points: Column


def reference_of(x: Column) -> Column:
    """The median of each feature over the customers that have it; NaN where none has."""
    known = ~np.isnan(x).all(axis=0)
    reference = np.full(x.shape[1], np.nan)
    reference[known] = np.nanmedian(x[:, known], axis=0)
    return reference


def explain(model: AdditiveModel, x: Column, reference: Column, season_offset: float) -> Explanation:
    """Score and take apart: x is rows x features, reference one value a feature."""
    at_reference = model.contributions(reference[None, :])[0]
    contributions = model.contributions(x) - at_reference
    base = float(model.intercept + at_reference.sum())
    total = contributions.sum(axis=1)
    start = base + season_offset
    logit = start + total
    p, p_reference = sigmoid(logit), float(sigmoid(np.array([start]))[0])
    slope = np.where(
        np.abs(total) > SMALL,
        (p - p_reference) / np.where(np.abs(total) > SMALL, total, 1.0),
        p_reference * (1 - p_reference),
    )
    return Explanation(
        base, season_offset, p_reference, logit, p, contributions, contributions * slope[:, None]
    )


def reasons(
    explanation: Explanation,
    x: Column,
    reference: Column,
    features: Sequence[Feature],
    currency: Sequence[str],
    exponents: Mapping[str, int],
) -> list[dict[str, Any]]:
    """For each row `contributions` (one entry a feature), `reason_1..3` (the themes that raise the risk most)
    and `protective_1` (the one that lowers it most); None where no theme does."""
    themes = list(dict.fromkeys(feature.theme for feature in features))
    members = [[j for j, feature in enumerate(features) if feature.theme == theme] for theme in themes]
    by_theme = np.column_stack([explanation.points[:, group].sum(axis=1) for group in members])
    rows = []
    for i in range(len(x)):
        order = np.argsort(-by_theme[i], kind="stable")
        told = [
            _reason(explanation, x[i], reference, features, members[k], i, currency[i], exponents)
            for k in order
        ]
        raising = [reason for k, reason in zip(order, told, strict=True) if by_theme[i, k] > SMALL]
        lowering = told[-1] if by_theme[i, order[-1]] < -SMALL else None
        rows.append(
            {
                **{f"reason_{n + 1}": raising[n] if n < len(raising) else None for n in range(3)},
                "protective_1": lowering,
                "contributions": [
                    {
                        "feature": feature.name,
                        "theme": feature.theme,
                        "value": _known(x[i, j]),
                        "typical": _known(reference[j]),
                        "contribution": float(explanation.contributions[i, j]),
                        "points": float(explanation.points[i, j]),
                    }
                    for j, feature in enumerate(features)
                ],
            }
        )
    return rows


def _reason(
    explanation: Explanation,
    x: Column,
    reference: Column,
    features: Sequence[Feature],
    group: Sequence[int],
    row: int,
    currency: str,
    exponents: Mapping[str, int],
) -> dict[str, Any]:
    """One theme's reason, told by its strongest member in the theme's own direction; one with a value speaks
    before one without history."""
    points = explanation.points[row]
    total = float(sum(points[j] for j in group))
    known = [j for j in group if not math.isnan(x[j])]
    strongest = max(known or group, key=lambda j: points[j] if total >= 0 else -points[j])
    feature, value, typical = features[strongest], x[strongest], reference[strongest]
    is_null = math.isnan(value) and bool(feature.template_null_en)
    words = {
        "value": figure(value, feature.unit, currency, exponents),
        "typical": figure(typical, feature.unit, currency, exponents),
    }
    return {
        "feature": feature.name,
        "family": feature.family,
        "theme": feature.theme,
        "value": _known(value),
        "unit": feature.unit,
        "typical": _known(typical),
        "direction": "raises" if total >= 0 else "lowers",
        "contribution": float(sum(explanation.contributions[row, j] for j in group)),
        "points": total,
        "sentence_key": f"{feature.name}.null" if is_null else feature.name,
        "sentence_en": feature.template_null_en if is_null else feature.template_en.format(**words),
        "sentence_ar": feature.template_null_ar if is_null else feature.template_ar.format(**words),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def figure(value: float, unit: str, currency: str, exponents: Mapping[str, int]) -> str:
    """A feature's value as people read it; Latin digits in both languages."""
    if math.isnan(value):
        return "–"
    if unit == "money":
        return f"{value / 10 ** exponents.get(currency, 2):,.0f} {currency}"
    if unit == "share":
        return f"{value:.0%}"
    if unit == "log_ratio":
        times = math.exp(value)
        return f"{times:.0%}" if times < 10 else f"{times:,.0f}×"
    return f"{value:,.1f}" if unit == "ratio" else f"{value:,.0f}"
