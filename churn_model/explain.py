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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
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
    template_en="Days to the decision point: {value} (typical {typical})",
    template_ar="الأيام حتى نقطة القرار: {value} (المعتاد {typical})",
    template_null_en="No decision point ahead: no term binds this customer",
    template_null_ar="لا نقطة قرار قادمة: لا مدة تُلزم هذا العميل",
)
"""What the step of time, the decision point and the season do to a hazard, as one feature."""
LEAST_POINTS = 0.01
"""What moves the probability by less than a point is no reason: it is within what such a model can tell."""
LEAST_SHARE = 0.1
"""Nor is what raises it by less than a tenth of what the strongest reason does: it would stand beside that
one as if it mattered."""
MOST_DIGITS = 2
"""So many more digits are shown where a value and the typical one would read alike."""
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
    if horizon_days > model.near_days:
        raise ValueError(f"one model speaks for {model.near_days:g} days, not for {horizon_days:g}")
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
    told_in: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """For each row `reason_1..3` (the themes that raise the risk most) and `protective_1` (the one that
    lowers it most); None where no theme does by a point, or by a tenth of what the strongest one does.

    x: rows x features; reference: the same, or one value a feature. categories: the texts of those features
    whose values are places in a list. told_in: as of `Teller`.
    """
    reference = np.broadcast_to(reference, x.shape)
    groups = groups_of_features(features)
    points, contributions = explanation.points.T, explanation.contributions.T
    lead = leading(points, contributions, np.isnan(x).T, groups)
    teller = Teller(features, exponents, categories or {}, told_in or {})
    rows = []
    for i in range(len(x)):
        told = [
            None
            if lead.feature[i, place] == NONE
            or abs(lead.points[i, place]) < max(LEAST_POINTS, LEAST_SHARE * lead.points[i, 0] * (place > 0))
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
            }
        )
    return rows


def parts_of(
    contributions: Column, points: Column, x: Column, reference: Column, features: Sequence[Feature]
) -> pl.Series:
    """The whole sum of each row, one entry a feature, as churn_scores has it: a column of lists. All arrays:
    rows x features; reference: the same, or one value a feature."""
    rows, count = x.shape
    places = np.tile(np.arange(count), rows)
    columns = {
        "feature": pl.Series([one.name for one in features], dtype=pl.String).gather(places),
        "theme": pl.Series([one.theme for one in features], dtype=pl.String).gather(places),
        "value": pl.Series(x.ravel(), nan_to_null=True),
        "typical": pl.Series(np.broadcast_to(reference, x.shape).ravel(), nan_to_null=True),
        "contribution": pl.Series(contributions.ravel()),
        "points": pl.Series(points.ravel()),
    }
    return pl.DataFrame(columns).to_struct("contributions").reshape((rows, count)).arr.to_list()


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
    """Puts reasons into words, in both languages. told_in: the currency that amounts of a customer are in, by
    the customer's own; that itself where none is named."""

    features: Sequence[Feature]
    exponents: Mapping[str, int]
    categories: Mapping[str, Sequence[str]]
    told_in: Mapping[str, str] = field(default_factory=dict)

    def reason(
        self, j: int, x: Column, reference: Column, contribution: float, points: float, currency: str
    ) -> dict[str, Any]:
        """One theme's reason, told by its strongest member j; a null is told as a gap, not as a behaviour."""
        feature, value, typical = self.features[j], x[j], reference[j]
        is_null = math.isnan(value)
        sentences = {}
        for language in ("en", "ar"):
            words = self._told_apart(feature, value, typical, currency, language)
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

    def _told_apart(
        self, feature: Feature, value: float, typical: float, currency: str, language: str
    ) -> dict[str, str]:
        """The value and the typical one, with more digits where they would read alike and are not."""
        differ = not (math.isnan(value) or math.isnan(typical) or value == typical)
        for digits in range(MOST_DIGITS + 1 if differ else 1):
            words = {
                name: self.shown(feature, one, currency, language, digits)
                for name, one in (("value", value), ("typical", typical))
            }
            if words["value"] != words["typical"]:
                break
        return words

    def shown(
        self, feature: Feature, value: float, currency: str, language: str, more_digits: int = 0
    ) -> str:
        texts = self.categories.get(feature.name)
        if texts and not math.isnan(value):
            text = texts[round(value)]
            return WORDS.get(text, (text, text))[language == "ar"]
        money = self.told_in.get(currency, currency)
        return figure(value, feature.unit, money, self.exponents, language, more_digits)


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


def figure(
    value: float,
    unit: str,
    currency: str,
    exponents: Mapping[str, int],
    language: str = "en",
    more_digits: int = 0,
) -> str:
    """A feature's value as people read it, with so many digits more than usual; Latin digits in both
    languages.
    """
    if math.isnan(value):
        return "–"
    if unit == "flag":
        return (("yes", "نعم") if value >= 0.5 else ("no", "لا"))[language == "ar"]
    if unit == "log_money":
        value = math.exp(value)
    if unit in ("money", "log_money"):
        return f"{value / 10 ** exponents.get(currency, 2):,.{more_digits}f} {currency}".strip()
    if unit == "share":
        return f"{value:.{more_digits}%}"
    if unit == "log_ratio":
        times = math.exp(value)
        return f"{times:.{more_digits}%}" if times < 10 else f"{times:,.{more_digits}f}×"
    if unit in ("ratio", "months"):
        return f"{value:,.{1 + more_digits}f}".removesuffix(".0")
    return f"{value:,.{more_digits}f}"
