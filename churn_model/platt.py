"""A sigmoid over a model's logits, fitted where the model had not learned, kept only if it helps there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from churn_model import metrics
from churn_model.model import sigmoid

Column = NDArray[np.float64]
LIMITS = (0.5, 2.0)
"""Slopes beyond these mean that a model is wrong, not badly spread."""


@dataclass(frozen=True)
class Sigmoid:
    """logit = offset + slope x the model's logit."""

    slope: float = 1.0
    offset: float = 0.0

    def of(self, logit: Column) -> Column:
        return self.offset + self.slope * logit


def fit_sigmoid(logit: Column, y: Column) -> Sigmoid:
    """The likeliest sigmoid for what happened (Platt, "Probabilistic outputs for support vector machines",
    1999). The identity where one class is missing or all logits are the same."""
    if np.ptp(logit) == 0 or not 0 < y.sum() < len(y):
        return Sigmoid()

    def loss(at: Column) -> tuple[float, Column]:
        z = at[0] * logit + at[1]
        residual = sigmoid(z) - y
        return (
            float((np.logaddexp(0.0, z) - y * z).mean()),
            np.array([(residual * logit).mean(), residual.mean()]),
        )

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[LIMITS, (None, None)])
    return Sigmoid(float(found.x[0]), float(found.x[1]))


def kept_sigmoid(logit: Column, y: Column, folds: Sequence[NDArray[np.int64]]) -> Sigmoid:
    """The sigmoid on all rows, if sigmoids on all folds but one lower the Brier score of that one, over all
    folds; else the identity. `folds`: rows of each."""
    if len(folds) < 2:
        return Sigmoid()
    seen = np.concatenate(folds)
    before, after = [], []
    for rows in folds:
        rest = np.setdiff1d(seen, rows)
        p = sigmoid(fit_sigmoid(logit[rest], y[rest]).of(logit[rows]))
        before.append(metrics.brier(y[rows], sigmoid(logit[rows]))[0] * len(rows))
        after.append(metrics.brier(y[rows], p)[0] * len(rows))
    return fit_sigmoid(logit[seen], y[seen]) if sum(after) < sum(before) else Sigmoid()
