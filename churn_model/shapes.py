"""What a model learned, feature by feature: each function as points to draw, in the form of `report`.

A function is told as what it adds to the log-odds beside the typical value, between the 1st and the 99th
percentile of the training values. Of hazards there is one for each cause and feature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn_model.dataset import Feature
from churn_model.hazard import HazardModel
from churn_model.model import AdditiveModel
from churn_model.report import label_of

Column = NDArray[np.float64]
POINTS = 40


def shapes(
    model: AdditiveModel,
    x: Column,
    reference: Column,
    features: Sequence[Feature],
    categories: Mapping[str, Sequence[str]] | None = None,
    slope: float = 1.0,
) -> list[dict[str, Any]]:
    """The functions of features, as `drawn` gives them, named and measured as the features are."""
    labels = [label_of(feature) for feature in features]
    units = [feature.unit for feature in features]
    return drawn(model, x, reference, labels, units, categories, slope)


def drawn(
    model: AdditiveModel,
    x: Column,
    reference: Column,
    labels: Sequence[Mapping[str, str]],
    units: Sequence[str] | None = None,
    categories: Mapping[str, Sequence[str]] | None = None,
    slope: float = 1.0,
) -> list[dict[str, Any]]:
    """The functions of a model's first columns, one for each label (English and Arabic), the weightiest
    first; those that add nothing are left out, and columns without a label (the timing of hazards) are not
    drawn.

    x: training rows x columns; reference: one value a column. categories: the texts of a column whose values
    are places in a list. `weight` is the mean size of the contribution over the rows; `null` what "no
    history" adds."""
    at_reference = model.contributions(reference[None, :])[0]
    sizes = abs(slope) * np.abs(model.contributions(x) - at_reference).mean(axis=0)[: len(labels)]
    found = []
    for j in np.argsort(-sizes, kind="stable"):
        name, known = model.features[j], x[~np.isnan(x[:, j]), j]
        if sizes[j] <= 0 or not len(known):
            continue
        places = _places(known)
        probe = np.tile(reference, (len(places) + 1, 1))
        probe[:-1, j], probe[-1, j] = places, np.nan
        values = slope * (model.contributions(probe)[:, j] - at_reference[j])
        texts = (categories or {}).get(name)
        found.append(
            {
                "feature": name,
                "label": dict(labels[j]),
                "unit": "" if units is None else units[j],
                "weight": float(sizes[j]),
                "x": [float(value) for value in places],
                "y": [float(value) for value in values[:-1]],
                "null": float(values[-1]) if np.isnan(x[:, j]).any() else None,
                "null_share": float(np.isnan(x[:, j]).mean()),
                "typical": None if math.isnan(reference[j]) else float(reference[j]),
                **({"levels": [texts[round(value)] for value in places]} if texts else {}),
            }
        )
    return found


def hazard_shapes(
    model: HazardModel,
    x: Column,
    decision_days: Column,
    as_of: NDArray[np.datetime64],
    reference: Column,
    reference_days: float,
    features: Sequence[Feature],
) -> list[dict[str, Any]]:
    """The functions of every cause whose hazard is a sum of one function per feature, each with its `cause`.

    x: training rows x features; decision_days, as_of: rows; reference, reference_days: of the typical
    account."""
    matrix = model.matrix(x, 0, decision_days, as_of)
    typical = model.matrix(reference[None, :], 0, np.array([reference_days]), as_of[:1])[0]
    texts = {one.name: one.categories for one in model.inputs if one.categories}
    return [
        {**shape, "cause": cause}
        for cause, own, slope in zip(model.causes, model.models, model.slopes, strict=True)
        if isinstance(own, AdditiveModel)
        for shape in shapes(own, matrix, typical, features, texts, slope)
    ]


def _places(known: Column) -> Column:
    """Where a function is drawn: every value where there are few, else an even walk over the bulk of them."""
    values = np.unique(known)
    if len(values) <= POINTS:
        return np.asarray(values, dtype=np.float64)
    low, high = np.quantile(known, [0.01, 0.99])
    return np.asarray(np.linspace(low, high, POINTS))
