"""Training inside the rows that may be learned from: settings, champion and calibration are chosen on folds
of these rows, and every candidate is then fitted on all of them. Rows to be judged on are never seen here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn_model import metrics
from churn_model.candidates import CANDIDATES, Boosting, Model, choose_champion, fit_all, inner_predictions
from churn_model.matrix import Input
from churn_model.model import sigmoid
from churn_model.platt import Sigmoid, kept_sigmoid

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

INNER_FOLDS = 3
MANY_ROWS = 20_000
"""With more rows than this one part in five is held out once, in place of three folds."""


@dataclass(frozen=True)
class Trained:
    """Every candidate fitted, with its sigmoid, and which of them is champion. `log_loss`: by candidate, on
    the inner folds."""

    champion: str
    models: Mapping[str, Model]
    sigmoids: Mapping[str, Sigmoid]
    settings: Mapping[str, Boosting]
    log_loss: Mapping[str, float]

    def logit(self, name: str, x: Column) -> Column:
        """What a candidate says after calibration, shape rows."""
        return self.sigmoids[name].of(self.models[name].logit(x))


def deal(units: NDArray[Any], y: Mask, folds: int, seed: int) -> list[Places]:
    """Rows by fold, all rows of a unit in one; units with an event and those without are dealt evenly."""
    _, codes = np.unique(units, return_inverse=True)
    has_event = np.bincount(codes, weights=y) > 0
    random = np.random.default_rng(seed)
    fold_of = np.empty(len(has_event), dtype=np.int64)
    for group in (np.flatnonzero(has_event), np.flatnonzero(~has_event)):
        fold_of[random.permutation(group)] = np.arange(len(group)) % folds
    return [np.flatnonzero(fold_of[codes] == fold) for fold in range(folds)]


def train(x: Column, y: Mask, inputs: Sequence[Input], units: NDArray[Any], seed: int) -> Trained:
    """Choose and fit on rows that may be learned from. units: rows of one customer or group share theirs."""
    folds = deal(units, y, INNER_FOLDS, seed) if len(y) <= MANY_ROWS else deal(units, y, 5, seed)[:1]
    seen = np.concatenate(folds)
    inner = inner_predictions(x, y, inputs, folds)
    labels = y.astype(np.float64)
    sigmoids = {name: kept_sigmoid(inner.logits[name], labels, folds) for name in CANDIDATES}
    p = {name: sigmoid(sigmoids[name].of(inner.logits[name][seen])) for name in CANDIDATES}
    return Trained(
        champion=choose_champion(labels[seen], p, units[seen]),
        models=fit_all(x, y, inputs, inner.settings),
        sigmoids=sigmoids,
        settings=inner.settings,
        log_loss={name: float(metrics.log_losses(labels[seen], p[name]).mean()) for name in CANDIDATES},
    )
