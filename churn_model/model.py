"""The model: a sum of one function per feature, fitted by scikit-learn, kept as plain tables.

logit(x) = intercept + sum over features of f_j(x_j). A `Term` is one f_j: a spline (coefficients of a cubic
B-spline basis) or steps (values between thresholds), each with a value for "no history". Scoring reads these
tables, so a model file is JSON, loading runs no code, and a customer's contributions are the score itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

Column = NDArray[np.float64]

DEGREE = 3
KNOTS = 6
KNOT_SPAN = (0.01, 0.99)
"""Knots stand between these quantiles: in a long tail one spline would have to stretch over decades."""


class Term(Protocol):
    """One feature's part of the logit."""

    @property
    def is_flat(self) -> bool:
        """Whether it adds the same whatever the feature is."""

    def values(self, x: Column) -> Column:
        """f(x) for a column of the feature (NaN: no history); shape as x."""

    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Spline:
    """A cubic B-spline: full knot vector, coefficients, constant beyond its range; `null` for no history."""

    knots: tuple[float, ...]
    coefficients: tuple[float, ...]
    null: float

    @property
    def is_flat(self) -> bool:
        return len({*self.coefficients, self.null}) == 1

    def values(self, x: Column) -> Column:
        spline = BSpline(np.asarray(self.knots), np.asarray(self.coefficients), DEGREE)
        inside = np.clip(np.nan_to_num(x), self.knots[0], self.knots[-1])
        return np.where(np.isnan(x), self.null, spline(inside))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "spline",
            "knots": self.knots,
            "coefficients": self.coefficients,
            "null": self.null,
        }


@dataclass(frozen=True)
class Steps:
    """A step function: `levels[i]` holds up to and including `thresholds[i]`; `null` for no history."""

    thresholds: tuple[float, ...]
    levels: tuple[float, ...]
    null: float

    @property
    def is_flat(self) -> bool:
        return len({*self.levels, self.null}) == 1

    def values(self, x: Column) -> Column:
        place = np.searchsorted(np.asarray(self.thresholds), np.nan_to_num(x), side="left")
        return np.where(np.isnan(x), self.null, np.asarray(self.levels)[place])

    def to_json(self) -> dict[str, Any]:
        return {"kind": "steps", "thresholds": self.thresholds, "levels": self.levels, "null": self.null}


@dataclass(frozen=True)
class AdditiveModel:
    """intercept + sum of terms. A feature may have several weighted terms (a blend of two models)."""

    features: tuple[str, ...]
    intercept: float
    terms: tuple[tuple[tuple[float, Term], ...], ...]

    def contributions(self, x: Column) -> Column:
        """f_j(x_j): shape rows x features, in logits. x has one column a feature, in `features` order."""
        columns = [
            np.sum([weight * term.values(x[:, j]) for weight, term in terms], axis=0)
            if terms
            else np.zeros(len(x))
            for j, terms in enumerate(self.terms)
        ]
        return np.column_stack(columns)

    def logit(self, x: Column) -> Column:
        """Shape rows."""
        return np.asarray(self.intercept + self.contributions(x).sum(axis=1), dtype=np.float64)

    @property
    def read(self) -> frozenset[str]:
        """The features that move the logit: those with a function that is not flat."""
        return frozenset(
            feature
            for feature, parts in zip(self.features, self.terms, strict=True)
            if any(not term.is_flat for _, term in parts)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "intercept": self.intercept,
            "terms": [[{"weight": w, **term.to_json()} for w, term in terms] for terms in self.terms],
        }


def model_from_json(content: Mapping[str, Any]) -> AdditiveModel:
    """The model a JSON table describes. Raises ValueError for anything of another form."""
    try:
        return AdditiveModel(
            features=tuple(str(name) for name in content["features"]),
            intercept=float(content["intercept"]),
            terms=tuple(
                tuple((float(part["weight"]), _term(part)) for part in parts) for parts in content["terms"]
            ),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no additive model: {error!r}") from error


def _term(part: Mapping[str, Any]) -> Term:
    null = float(part["null"])
    if part["kind"] == "spline":
        knots, coefficients = _floats(part["knots"]), _floats(part["coefficients"])
        if len(knots) != len(coefficients) + DEGREE + 1:
            raise ValueError("a spline has as many knots as coefficients, and four more")
        return Spline(knots, coefficients, null)
    if part["kind"] == "steps":
        thresholds, levels = _floats(part["thresholds"]), _floats(part["levels"])
        if len(levels) != len(thresholds) + 1:
            raise ValueError("steps have one level more than thresholds")
        return Steps(thresholds, levels, null)
    raise ValueError(f"unknown kind of term {part['kind']!r}")


def _floats(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def sigmoid(logit: Column) -> Column:
    """1 / (1 + exp(-logit)), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)), dtype=np.float64)


# Fitting.


def fit_spline_logistic(
    x: Column,
    y: NDArray[np.bool_],
    features: Sequence[str],
    levels: Sequence[int] = (),
    count: int = KNOTS,
) -> AdditiveModel:
    """Logistic regression (C = 0.1) on quantile-knot cubic splines, one column a category, null indicators.

    x: rows x features, NaN for no history; y: left or not; levels: how many categories each feature has (its
    values are then 0, 1, ...), 0 for a number, all numbers if not given. A feature with one value only has no
    term.
    """
    levels = levels or [0] * x.shape[1]
    bases = [None if levels[j] else _knots(x[:, j], count) for j in range(x.shape[1])]
    widths = [_width(knots, level) for knots, level in zip(bases, levels, strict=True)]
    ends = np.cumsum(widths)
    spans = list(zip(ends - widths, ends, strict=True))
    design = np.empty((len(x), int(ends[-1])))  # filled in place: half the memory of stacking
    for j, (first, last) in enumerate(spans):
        design[:, first:last] = (
            _design_of_categories(x[:, j], levels[j]) if levels[j] else _design(x[:, j], bases[j])
        )
    library = LogisticRegression(C=0.1, max_iter=2000, tol=1e-6)
    library.fit(design, y)
    weights = library.coef_[0]
    terms: list[tuple[float, Term]] = []
    for knots, categories, (first, last) in zip(bases, levels, spans, strict=True):
        if categories:
            steps = _floats(weights[first : last - 1])
            terms.append((1.0, Steps(_floats(range(categories - 1)), steps, float(weights[last - 1]))))
        elif knots is None:
            terms.append((1.0, Steps((), (0.0,), float(weights[first]))))
        else:
            coefficients = _floats(weights[first : last - 1])
            terms.append((1.0, Spline(_floats(knots), coefficients, float(weights[last - 1]))))
    return AdditiveModel(tuple(features), float(library.intercept_[0]), tuple((term,) for term in terms))


def _knots(x: Column, count: int = KNOTS) -> Column | None:
    """The clamped knot vector of a feature at so many quantiles; None where it has fewer than two values."""
    known = x[~np.isnan(x)]
    inner = np.unique(np.quantile(known, np.linspace(*KNOT_SPAN, count))) if len(known) else known
    if len(inner) < 2:  # what is rare lies beyond them
        inner = np.unique(known[[known.argmin(), known.argmax()]]) if len(known) else known
    if len(inner) < 2:
        return None
    return np.concatenate([np.repeat(inner[0], DEGREE), inner, np.repeat(inner[-1], DEGREE)])


def _width(knots: Column | None, levels: int) -> int:
    """How many columns a feature has in the design, its null indicator included."""
    return levels + 1 if levels else 1 if knots is None else len(knots) - DEGREE


def _design(x: Column, knots: Column | None) -> Column:
    """Basis columns and, last, the null indicator; rows without history are 0 in the basis."""
    is_null = np.isnan(x)
    if knots is None:
        return is_null.astype(np.float64)[:, None]
    inside = np.clip(np.nan_to_num(x, nan=knots[0]), knots[0], knots[-1])
    basis = BSpline.design_matrix(inside, knots, DEGREE).toarray()
    basis[is_null] = 0.0
    return np.column_stack([basis, is_null])


def _design_of_categories(x: Column, levels: int) -> Column:
    """One column a category and, last, the null indicator."""
    return np.column_stack([x[:, None] == np.arange(levels), np.isnan(x)]).astype(np.float64)


ROUNDS = 250
MIN_LEAF = 40


def boosting(
    rounds: int = ROUNDS, min_leaf: int = MIN_LEAF, **settings: Any
) -> HistGradientBoostingClassifier:
    """The library's boosting in our settings: learning rate .03, 8 leaves of at least min_leaf rows, l2 5."""
    return HistGradientBoostingClassifier(
        learning_rate=0.03,
        max_iter=rounds,
        max_leaf_nodes=8,
        min_samples_leaf=min_leaf,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=0,
        **settings,
    )


def without_empty(x: Column) -> Column:
    """A column without any value as one with a single value: the library cannot bin the former."""
    return np.where(np.isnan(x).all(axis=0), 0.0, x)


def fit_additive_boosting(
    x: Column, y: NDArray[np.bool_], features: Sequence[str], rounds: int = ROUNDS
) -> AdditiveModel:
    """Gradient boosting without interactions: each tree reads one feature, so the sum is additive.

    x and y as in `fit_spline_logistic`.
    """
    library = boosting(rounds, interaction_cst="no_interactions")
    library.fit(without_empty(x), y)
    return additive_model_of(library, features)


def additive_model_of(library: HistGradientBoostingClassifier, features: Sequence[str]) -> AdditiveModel:
    """The tables of trees that read one feature each."""
    trees: list[list[Any]] = [[] for _ in features]
    constant = float(library._baseline_prediction.ravel()[0])
    for (predictor,) in library._predictors:
        nodes = predictor.nodes
        if nodes["is_leaf"][0]:
            constant += float(nodes["value"][0])
        else:
            trees[int(nodes["feature_idx"][0])].append(nodes)
    return AdditiveModel(
        tuple(features), constant, tuple(((1.0, _steps(nodes)),) if nodes else () for nodes in trees)
    )


def _steps(trees: Sequence[Any]) -> Steps:
    """The sum of trees of one feature as one step function."""
    thresholds = np.unique(np.concatenate([nodes["num_threshold"][nodes["is_leaf"] == 0] for nodes in trees]))
    thresholds = thresholds[np.isfinite(thresholds)]
    probes = np.append(thresholds, np.inf)
    levels = np.sum([_tree_values(nodes, probes) for nodes in trees], axis=0)
    null = sum(float(_tree_values(nodes, np.array([np.nan]))[0]) for nodes in trees)
    return Steps(_floats(thresholds), _floats(levels), null)


def _tree_values(nodes: Any, x: Column) -> Column:
    """What a tree of one feature adds at each x, walked node by node."""
    place = np.zeros(len(x), dtype=np.int64)
    for _ in range(len(nodes)):
        node = nodes[place]
        goes_left = np.where(np.isnan(x), node["missing_go_to_left"] == 1, x <= node["num_threshold"])
        place = np.where(node["is_leaf"] == 1, place, np.where(goes_left, node["left"], node["right"]))
    return np.asarray(nodes["value"][place], dtype=np.float64)


def blend(models: Sequence[AdditiveModel]) -> AdditiveModel:
    """The mean of the logits of additive models over the same features: additive again."""
    share = 1.0 / len(models)
    return AdditiveModel(
        models[0].features,
        share * sum(model.intercept for model in models),
        tuple(
            tuple((share * weight, term) for model in models for weight, term in model.terms[j])
            for j in range(len(models[0].features))
        ),
    )
