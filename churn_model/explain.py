"""Reasons: each customer's score taken apart, exactly.

c_j = f_j(x_j) - f_j(reference_j), the reference being the median training customer, of the customer's peers
where there are enough. base + sum of c_j is the logit: explaining is scoring. Points put the same parts on
the scale people read: on the straight line from reference to customer in logit space, points_j = c_j (P(b +
C) - P(b)) / C with C the sum of c_j, so that they add up to p - p_reference. A hazard has a logit for each
step of the horizon; along the same line, points_j is the integral of dP (Aumann and Shapley), which for one
step is the formula above. Features of one story are summed before they are ranked: of a family, or, where a
model reads one family alone, of a theme. The sentences state what is; they do not say "because".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn_model.contributions import NONE, RAISING, SMALL, Groups, groups_of, leading
from churn_model.dataset import Feature
from churn_model.hazard import HazardModel
from churn_model.model import AdditiveModel, sigmoid

Column = NDArray[np.float64]
TIMING = Feature(
    name="decision_timing",
    family="timing",
    theme="timing",
    unit="days",
    window=365,
    formula="days to the notice day, else the term end",
    null_rule="no term",
    template_en="Decision point in {value} days (typical {typical})",
    template_ar="نقطة القرار بعد {value} يومًا (المعتاد {typical})",
    template_null_en="No decision point ahead: no term binds this customer",
    template_null_ar="لا نقطة قرار قادمة: لا مدة تُلزم هذا العميل",
)
"""What the step of time, the decision point and the season do to a hazard, as one feature."""
LEAST_POINTS = 0.01
"""What moves the probability by less than a point is no reason: it is within what such a model can tell."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class Explanation:
    """`contributions` and `points`: rows x features; the others: rows. `base_logit` without the season."""

    base_logit: Column
    season_offset: float
    p_reference: Column
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
    rows = len(x)
    points = contributions * slope[:, None]
    return Explanation(
        np.full(rows, base), season_offset, np.full(rows, p_reference), logit, p, contributions, points
    )


def explain_hazard(
    model: HazardModel,
    cause: str,
    x: Column,
    decision_days: Column,
    as_of: NDArray[np.datetime64],
    reference: Column,
    reference_days: Column,
    horizon_days: float,
) -> Explanation:
    """Take apart the probability that a cause, as if alone, ends a customer within the horizon.

    x, reference: rows x features; decision_days, reference_days: rows. `logit` is the mean of the horizon's
    steps; the last column of the parts is timing (`TIMING`). Raises ValueError for hazards that are no sums.
    """
    place = model.causes.index(cause)
    own, slope = model.models[place], model.slopes[place]
    if not isinstance(own, AdditiveModel):
        raise ValueError("only hazards that are sums of one function per feature are taken apart")
    steps = sum(cut <= horizon_days for cut in model.cuts)
    width = x.shape[1]
    logits, timing = np.empty((len(x), steps)), np.empty((len(x), steps))
    features = np.empty((len(x), width))
    for step in range(steps):
        now = own.contributions(model.matrix(x, step, decision_days, as_of))
        then = own.contributions(model.matrix(reference, step, reference_days, as_of))
        logits[:, step] = model.offsets[place] + slope * (own.intercept + now.sum(axis=1))
        features = slope * (now[:, :width] - then[:, :width])
        timing[:, step] = slope * (now[:, width:] - then[:, width:]).sum(axis=1)
    moved = features.sum(axis=1)[:, None] + timing
    start = logits - moved
    p, p_reference = ended_within(logits), ended_within(start)
    pull = np.zeros((len(x), steps))
    for node, weight in zip((NODES + 1) / 2, WEIGHTS / 2, strict=True):
        at = start + node * moved
        pull += weight * sigmoid(at) * (1 - ended_within(at))[:, None]
    points = np.column_stack([features * pull.sum(axis=1)[:, None], (timing * pull).sum(axis=1)])
    contributions = np.column_stack([features, timing.mean(axis=1)])
    return Explanation(
        start.mean(axis=1),
        0.0,
        p_reference,
        logits.mean(axis=1),
        p,
        contributions,
        closed(points, p - p_reference),
    )


def ended_within(logits: Column) -> Column:
    """1 - product over steps of (1 - hazard). logits: rows x steps."""
    return np.asarray(1 - np.prod(1 - sigmoid(logits), axis=1))


def closed(points: Column, total: Column) -> Column:
    """Points that add up to the total: what the integral's arithmetic left over is shared out by size."""
    rest = total - points.sum(axis=1)
    size = np.abs(points)
    whole = size.sum(axis=1)
    return np.asarray(points + size * (rest / np.where(whole > 0, whole, 1.0))[:, None])


def reasons(
    explanation: Explanation,
    x: Column,
    reference: Column,
    features: Sequence[Feature],
    currency: Sequence[str],
    exponents: Mapping[str, int],
    categories: Mapping[str, Sequence[str]] | None = None,
    reporting_currency: str = "",
) -> list[dict[str, Any]]:
    """For each row `contributions` (one entry a feature), `reason_1..3` (the themes that raise the risk most)
    and `protective_1` (the one that lowers it most); None where no theme does by a point.

    x: rows x features; reference: the same, or one value a feature. categories: the texts of those features
    whose values are places in a list.
    """
    reference = np.broadcast_to(reference, x.shape)
    groups = groups_of_features(features)
    points, contributions = explanation.points.T, explanation.contributions.T
    lead = leading(points, contributions, np.isnan(x).T, groups)
    teller = Teller(features, exponents, categories or {}, reporting_currency)
    rows = []
    for i in range(len(x)):
        told = [
            None
            if lead.feature[i, place] == NONE or abs(lead.points[i, place]) < LEAST_POINTS
            else teller.reason(
                int(lead.feature[i, place]),
                x[i],
                reference[i],
                float(lead.contribution[i, place]),
                float(lead.points[i, place]),
                currency[i],
            )
            for place in range(RAISING + 1)
        ]
        rows.append(
            {
                **{f"reason_{place + 1}": told[place] for place in range(RAISING)},
                "protective_1": told[RAISING],
                "contributions": [
                    {
                        "feature": feature.name,
                        "theme": feature.theme,
                        "value": _known(x[i, j]),
                        "typical": _known(reference[i, j]),
                        "contribution": float(contributions[j, i]),
                        "points": float(points[j, i]),
                    }
                    for j, feature in enumerate(features)
                ],
            }
        )
    return rows


def groups_of_features(features: Sequence[Feature]) -> Groups:
    """Features by the story they tell; what nobody can act on (country, segment, channel) is never a
    reason.
    """
    families = {feature.family for feature in features if feature.is_reason}
    stories = [
        feature.theme if len(families) == 1 or feature.theme == TIMING.theme else feature.family
        for feature in features
    ]
    return groups_of(stories, [not feature.is_reason for feature in features])


@dataclass(frozen=True)
class Teller:
    """Puts reasons into words, in both languages."""

    features: Sequence[Feature]
    exponents: Mapping[str, int]
    categories: Mapping[str, Sequence[str]]
    reporting_currency: str = ""

    def reason(
        self, j: int, x: Column, reference: Column, contribution: float, points: float, currency: str
    ) -> dict[str, Any]:
        """One theme's reason, told by its strongest member j; a null is told as a gap, not as a behaviour."""
        feature, value, typical = self.features[j], x[j], reference[j]
        is_null = math.isnan(value)
        sentences = {}
        for language in ("en", "ar"):
            words = {
                "value": self.shown(feature, value, currency, language),
                "typical": self.shown(feature, typical, currency, language),
            }
            template = feature.template_en if language == "en" else feature.template_ar
            gap = feature.template_null_en if language == "en" else feature.template_null_ar
            if is_null:
                template = gap or GAPS.get(feature.family, GAP)[language == "ar"]
            sentences[f"sentence_{language}"] = template.format(**words)
        return {
            "feature": feature.name,
            "family": feature.family,
            "theme": feature.theme,
            "value": _known(value),
            "unit": feature.unit,
            "typical": _known(typical),
            "direction": "raises" if points >= 0 else "lowers",
            "contribution": contribution,
            "points": points,
            "sentence_key": f"{feature.name}.null" if is_null else feature.name,
            **sentences,
        }

    def shown(self, feature: Feature, value: float, currency: str, language: str) -> str:
        texts = self.categories.get(feature.name)
        if texts and not math.isnan(value):
            text = texts[round(value)]
            return WORDS.get(text, (text, text))[language == "ar"]
        money = self.reporting_currency if feature.unit == "log_money" else currency
        return figure(value, feature.unit, money, self.exponents, language)


GAP = ("No data on this yet", "لا بيانات عن هذا بعد")
GAPS = {
    "usage": ("No usage feed", "لا بيانات استخدام"),
    "payments": ("No payment history yet", "لا سجل مدفوعات بعد"),
    "support": ("No support history", "لا سجل دعم"),
    "crm": ("The CRM has nothing on this customer", "لا شيء عن هذا العميل في نظام إدارة العملاء"),
}
"""What is said of a null whose feature has no words of its own, by family."""
WORDS = {
    "card": ("card", "بطاقة"),
    "direct_debit": ("direct debit", "خصم مباشر"),
    "bank_transfer": ("bank transfer", "تحويل بنكي"),
    "transfer": ("bank transfer", "تحويل بنكي"),
    "invoice": ("invoice", "فاتورة"),
    "none": ("none", "لا شيء"),
}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def figure(value: float, unit: str, currency: str, exponents: Mapping[str, int], language: str = "en") -> str:
    """A feature's value as people read it; Latin digits in both languages."""
    if math.isnan(value):
        return "–"
    if unit == "flag":
        return (("yes", "نعم") if value >= 0.5 else ("no", "لا"))[language == "ar"]
    if unit == "log_money":
        value = math.exp(value)
    if unit in ("money", "log_money"):
        return f"{value / 10 ** exponents.get(currency, 2):,.0f} {currency}".strip()
    if unit == "share":
        return f"{value:.0%}"
    if unit == "log_ratio":
        times = math.exp(value)
        return f"{times:.0%}" if times < 10 else f"{times:,.0f}×"
    if unit in ("ratio", "months"):
        return f"{value:,.1f}".removesuffix(".0")
    return f"{value:,.0f}"
