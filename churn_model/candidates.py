"""The candidate models on one matrix, from the simplest to the least simple, and which of them ships.

The first three are sums of one function per column and explain themselves; the others have interactions.
Settings of boosting are chosen on folds inside the training rows, and so is the champion: the rows a model is
judged on choose nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from churn_model import metrics
from churn_model.matrix import Input
from churn_model.model import (
    KNOTS,
    MIN_LEAF,
    ROUNDS,
    AdditiveModel,
    additive_model_of,
    blend,
    boosting,
    fit_spline_logistic,
    model_from_json,
    sigmoid,
    without_empty,
)
from churn_model.trees import TreeModel, tree_model_from_json, tree_model_of

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]

ADDITIVE = ("spline_logistic", "additive_hgb", "blend")
WITH_INTERACTIONS = ("small_hgb", "blend_small_hgb")
REPORTED = ("default_hgb",)
"""Printed beside the others, never chosen."""
CANDIDATES = (*ADDITIVE, *WITH_INTERACTIONS, *REPORTED)
BOOSTED: Mapping[str, Mapping[str, Any]] = {
    "additive_hgb": {"interaction_cst": "no_interactions"},
    "small_hgb": {"max_features": 0.5},
}
STAGES = (125, 250, 500, 1000)
"""The rounds of boosting that are tried, in turn, as long as they help."""
LEAVES = {"additive_hgb": (MIN_LEAF,), "small_hgb": (MIN_LEAF, 10)}
"""The least rows of a leaf that are tried."""
GAIN_OF_INTERACTIONS = 0.01
"""Average precision that a model with interactions must gain over the additive champion to ship."""


@dataclass(frozen=True)
class BlendModel:
    """A weighted mean of logits in which a part has interactions."""

    parts: tuple[tuple[float, AdditiveModel | TreeModel], ...]

    @property
    def features(self) -> tuple[str, ...]:
        return self.parts[0][1].features

    def logit(self, x: Column) -> Column:
        """Shape rows."""
        return np.asarray(sum(weight * part.logit(x) for weight, part in self.parts), dtype=np.float64)

    def contributions(self, x: Column) -> Column:
        """Shape rows x features; their sum is logit(x) less `expected`."""
        return np.asarray(sum(weight * part.contributions(x) for weight, part in self.parts))

    @property
    def expected(self) -> float:
        """What contributions start from."""
        return float(sum(weight * expected_of(part) for weight, part in self.parts))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "blend",
            "parts": [{"weight": weight, "model": part.to_json()} for weight, part in self.parts],
        }


Model = AdditiveModel | TreeModel | BlendModel


def expected_of(model: Model) -> float:
    """The logit that contributions start from: `expected_of(model) + contributions.sum(axis=1) = logit`."""
    return model.intercept if isinstance(model, AdditiveModel) else model.expected


def candidate_from_json(content: Mapping[str, Any]) -> Model:
    """The model a JSON table describes, of any kind. Raises ValueError for anything of another form."""
    try:
        kind = content.get("kind")
        if kind == "blend":
            parts = tuple((float(part["weight"]), _part(part["model"])) for part in content["parts"])
            if not parts:
                raise ValueError("a blend needs parts")
            return BlendModel(parts)
        return _part(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no model: {error!r}") from error


def _part(content: Mapping[str, Any]) -> AdditiveModel | TreeModel:
    return tree_model_from_json(content) if content.get("kind") == "trees" else model_from_json(content)


# Fitting.


@dataclass(frozen=True)
class Boosting:
    """Settings of boosting that are chosen on the data."""

    rounds: int = ROUNDS
    min_leaf: int = MIN_LEAF


def fit(
    name: str,
    x: Column,
    y: Mask,
    inputs: Sequence[Input],
    rounds: int = ROUNDS,
    min_leaf: int = MIN_LEAF,
    knots: int = KNOTS,
    directions: Sequence[int] = (),
) -> Model:
    """One candidate by its name.

    x: rows x inputs, NaN for null, categories by their place; y: left or not, both present. directions: of
    each input 1 where more of it can only raise the risk, -1 where lower it, 0 where either: additive
    boosting keeps to them. Raises KeyError for a name that is none of CANDIDATES.
    """
    names = [one.name for one in inputs]
    if name == "spline_logistic":
        return fit_spline_logistic(x, y, names, [one.levels for one in inputs], knots)
    if name == "additive_hgb":
        one_way = list(directions) if any(directions) else None
        library = boosting(rounds, min_leaf, monotonic_cst=one_way, **BOOSTED[name])
        return additive_model_of(library.fit(without_empty(x), y), names)
    if name == "small_hgb":
        return tree_model_of(boosting(rounds, min_leaf, **BOOSTED[name]).fit(without_empty(x), y), names)
    if name == "default_hgb":
        library = HistGradientBoostingClassifier(early_stopping=False, random_state=0)
        return tree_model_of(library.fit(without_empty(x), y), names)
    parts = {"blend": "additive_hgb", "blend_small_hgb": "small_hgb"}
    boosted = fit(parts[name], x, y, inputs, rounds, min_leaf, directions=directions)
    return mixed(fit("spline_logistic", x, y, inputs, knots=knots), boosted)


def fit_all(
    x: Column, y: Mask, inputs: Sequence[Input], settings: Mapping[str, Boosting], knots: int = KNOTS
) -> dict[str, Model]:
    """Every candidate, the parts of the blends fitted once. `settings` by name of the boosted ones."""
    fitted = {}
    for name in ("spline_logistic", "additive_hgb", "small_hgb", "default_hgb"):
        own = settings.get(name, Boosting())
        fitted[name] = fit(name, x, y, inputs, own.rounds, own.min_leaf, knots)
    fitted["blend"] = mixed(fitted["spline_logistic"], fitted["additive_hgb"])
    fitted["blend_small_hgb"] = mixed(fitted["spline_logistic"], fitted["small_hgb"])
    return {name: fitted[name] for name in CANDIDATES}


def mixed(first: Model, second: Model) -> Model:
    """The mean of two models' logits: additive where both are."""
    if isinstance(first, AdditiveModel) and isinstance(second, AdditiveModel):
        return blend([first, second])
    if isinstance(first, BlendModel) or isinstance(second, BlendModel):
        raise ValueError("a blend is made of models, not of blends")
    return BlendModel(((0.5, first), (0.5, second)))


# Choosing on folds inside the training rows.


@dataclass(frozen=True)
class Inner:
    """What the candidates say of training rows they were not fitted on. `logits` by candidate, shape rows;
    NaN for rows of no fold."""

    settings: Mapping[str, Boosting]
    logits: Mapping[str, Column]


def inner_predictions(
    x: Column, y: Mask, inputs: Sequence[Input], folds: Sequence[NDArray[np.int64]]
) -> Inner:
    """Fit every candidate on all rows but those of a fold, for each fold in turn. `folds`: the rows of each.

    Boosting goes on from stage to stage as long as the mean log loss over all folds falls.
    """
    chosen: dict[str, Boosting] = {}
    logits: dict[str, Column] = {}
    for name, settings in BOOSTED.items():
        tried = [_staged(x, y, folds, min_leaf, settings) for min_leaf in LEAVES[name]]
        _, chosen[name], logits[name] = min(tried, key=lambda one: one[0])
    for name in ("spline_logistic", "default_hgb"):
        logits[name] = np.full(len(y), np.nan)
        for rows in folds:
            rest = np.setdiff1d(np.arange(len(y)), rows)
            logits[name][rows] = fit(name, x[rest], y[rest], inputs).logit(x[rows])
    logits["blend"] = (logits["spline_logistic"] + logits["additive_hgb"]) / 2
    logits["blend_small_hgb"] = (logits["spline_logistic"] + logits["small_hgb"]) / 2
    return Inner(chosen, {name: logits[name] for name in CANDIDATES})


def _staged(
    x: Column, y: Mask, folds: Sequence[NDArray[np.int64]], min_leaf: int, settings: Mapping[str, Any]
) -> tuple[float, Boosting, Column]:
    """The lowest mean log loss, the settings that gave it, and the logits they give."""
    labels, seen = y.astype(np.float64), np.concatenate(folds)
    best: tuple[float, Boosting, Column] | None = None
    fitted: list[HistGradientBoostingClassifier] = [
        boosting(STAGES[0], min_leaf, warm_start=True, **settings) for _ in folds
    ]
    for stage in STAGES:
        logit = np.full(len(y), np.nan)
        for library, rows in zip(fitted, folds, strict=True):
            rest = np.setdiff1d(np.arange(len(y)), rows)
            library.set_params(max_iter=stage).fit(without_empty(x[rest]), y[rest])
            logit[rows] = library.decision_function(x[rows])
        loss = float(metrics.log_losses(labels[seen], sigmoid(logit[seen])).mean())
        if best is not None and loss >= best[0]:
            break
        best = loss, Boosting(stage, min_leaf), logit
    assert best is not None
    return best


def choose_champion(
    y: Column, p: Mapping[str, Column], groups: NDArray[Any], order: Sequence[str] = ADDITIVE
) -> str:
    """The additive candidate with the lowest log loss; of those within one standard error of it (paired by
    row, summed by group) the first in `order`. One with interactions takes its place if it has the lower log
    loss, gains over 0.01 average precision and is not worse in Brier score.

    y, p: shape rows, on rows the candidates were not fitted on; groups: rows of one customer share theirs.
    """
    losses = {name: metrics.log_losses(y, values) for name, values in p.items()}
    best = min(order, key=lambda name: float(losses[name].mean()))
    _, codes = np.unique(groups, return_inverse=True)
    champion = next(name for name in order if within_one_error(losses[name] - losses[best], codes))
    challengers = [name for name in WITH_INTERACTIONS if name in p]
    for name in sorted(challengers, key=lambda name: float(losses[name].mean())):
        if _is_worth_it(y, p[name], p[champion]):
            return name
    return champion


def within_one_error(difference: Column, codes: NDArray[np.int64]) -> bool:
    """Whether the mean of a difference of losses is at most its standard error, rows of a group summed."""
    sums = np.bincount(codes, weights=difference - difference.mean())
    error = float(np.sqrt((sums**2).sum()) / len(difference))
    return bool(difference.mean() <= error)


def _is_worth_it(y: Column, challenger: Column, champion: Column) -> bool:
    def of(figure: Callable[[Column, Column], Any], p: Column) -> float:
        return float(np.ravel(figure(y, p))[0])

    gain = of(metrics.average_precision, challenger) - of(metrics.average_precision, champion)
    is_sharper = metrics.log_losses(y, challenger).mean() < metrics.log_losses(y, champion).mean()
    return bool(
        is_sharper
        and gain > GAIN_OF_INTERACTIONS
        and of(metrics.brier, challenger) <= of(metrics.brier, champion)
    )
