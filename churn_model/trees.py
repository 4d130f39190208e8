"""A model with interactions: the sum of decision trees, kept as tables of their nodes.

It judges and it explains listed rows; it has no table per feature. The file holds numbers only: each tree's
nodes are checked (a child comes after its parent and exists) before they are walked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

Column = NDArray[np.float64]

FIELDS = {
    "value": "value",
    "rows": "count",
    "feature": "feature_idx",
    "threshold": "num_threshold",
    "null_goes_left": "missing_go_to_left",
    "left": "left",
    "right": "right",
    "is_leaf": "is_leaf",
}
"""Name in a file: name of the library's node."""


@dataclass(frozen=True)
class TreeModel:
    """logit(x) = intercept + what each tree says. `trees`: the library's node arrays."""

    features: tuple[str, ...]
    intercept: float
    trees: tuple[NDArray[Any], ...]

    def logit(self, x: Column) -> Column:
        """Shape rows."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        total = np.full(len(x), self.intercept)
        none = np.empty((0, 8), dtype=np.uint32)
        places = np.zeros(x.shape[1], dtype=np.uint32)
        for nodes in self.trees:
            total += TreePredictor(nodes, none, none).predict(x, none, places, 1)
        return total

    def contributions(self, x: Column) -> Column:
        """Shapley values, rows x features: their sum is logit(x) less `expected`.

        Path-dependent, exact by the sum over subsets of a leaf's features (Lundberg et al., "From local
        explanations to global understanding with explainable AI for trees", Nature Machine Intelligence 2
        (2020) 56-67, the definition that TreeSHAP computes): a feature outside the subset takes each branch
        in proportion to the training rows that took it.
        """
        total = np.zeros((len(x), len(self.features)))
        for nodes in self.trees:
            for value, path in _leaves(nodes):
                _add_leaf(total, x, value, path)
        return total

    @property
    def expected(self) -> float:
        """The mean logit over the training rows: what contributions start from."""
        return self.intercept + sum(
            value * float(np.prod([condition.share for condition in path.values()]))
            for nodes in self.trees
            for value, path in _leaves(nodes)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "trees",
            "features": list(self.features),
            "intercept": self.intercept,
            "trees": [
                {name: _plain(nodes[field].tolist()) for name, field in FIELDS.items()}
                for nodes in self.trees
            ],
        }


def _plain(values: Sequence[Any]) -> list[Any]:
    """JSON has no infinity: a threshold that all values stay under is written as null."""
    return [None if isinstance(value, float) and not np.isfinite(value) else value for value in values]


def tree_model_from_json(content: Mapping[str, Any]) -> TreeModel:
    """The model of a JSON table. Raises ValueError for anything of another form, or an endless tree."""
    try:
        features = tuple(str(name) for name in content["features"])
        trees = tuple(_nodes(tree, len(features)) for tree in content["trees"])
        return TreeModel(features, float(content["intercept"]), trees)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"this is no model of trees: {error!r}") from error


def _nodes(tree: Mapping[str, Any], features: int) -> NDArray[Any]:
    size = len(tree["value"])
    nodes = np.zeros(size, dtype=PREDICTOR_RECORD_DTYPE)
    for name, field in FIELDS.items():
        values = [float("inf") if value is None else value for value in tree[name]]
        if len(values) != size:
            raise ValueError("a tree's columns differ in length")
        nodes[field] = values
    inner = nodes["is_leaf"] == 0
    places = np.arange(size)[inner]
    children = np.stack([nodes["left"][inner], nodes["right"][inner]]).astype(np.int64)
    if not size or (children <= places).any() or (children >= size).any():
        raise ValueError("a tree's node has a child that does not come after it")
    if ((nodes["feature_idx"] < 0) | (nodes["feature_idx"] >= features)).any():
        raise ValueError("a tree asks for a feature that the model does not have")
    return nodes


def tree_model_of(library: HistGradientBoostingClassifier, features: Sequence[str]) -> TreeModel:
    """The fitted trees of the library."""
    trees = tuple(predictor.nodes for (predictor,) in library._predictors)
    return TreeModel(tuple(features), float(library._baseline_prediction.ravel()[0]), trees)


# Shapley values.


@dataclass
class _Condition:
    """What a leaf asks of one feature: in (low, high], or null if `takes_null`; `share`: of the training rows
    at each of its splits, those that went the leaf's way, multiplied."""

    low: float = -np.inf
    high: float = np.inf
    takes_null: bool = True
    share: float = 1.0

    def holds(self, x: Column) -> NDArray[np.bool_]:
        return np.where(np.isnan(x), self.takes_null, (x > self.low) & (x <= self.high))


def _leaves(nodes: NDArray[Any]) -> list[tuple[float, dict[int, _Condition]]]:
    """Each leaf's value and its conditions by feature."""
    found: list[tuple[float, dict[int, _Condition]]] = []
    pending: list[tuple[int, dict[int, _Condition]]] = [(0, {})]
    while pending:
        place, path = pending.pop()
        node = nodes[place]
        if node["is_leaf"]:
            found.append((float(node["value"]), path))
            continue
        feature, threshold = int(node["feature_idx"]), float(node["num_threshold"])
        null_left = bool(node["missing_go_to_left"])
        before = path.get(feature, _Condition())
        for child, low, high, takes_null in (
            (int(node["left"]), before.low, min(before.high, threshold), before.takes_null and null_left),
            (
                int(node["right"]),
                max(before.low, threshold),
                before.high,
                before.takes_null and not null_left,
            ),
        ):
            share = before.share * float(nodes[child]["count"]) / float(node["count"])
            pending.append((child, path | {feature: _Condition(low, high, takes_null, share)}))
    return found


def _add_leaf(total: Column, x: Column, value: float, path: Mapping[int, _Condition]) -> None:
    """A leaf's part of the Shapley values: for each feature the sum over subsets S of the others of
    |S|! (d - |S| - 1)! / d! times those in S held or not, those outside by their share."""
    features = list(path)
    size = len(features)
    held = [path[feature].holds(x[:, feature]).astype(np.float64) for feature in features]
    for place, feature in enumerate(features):
        # coefficients by |S|: the product over the others of (share + held z), as a polynomial in z
        polynomial = [np.full(len(x), value)]
        for other in range(size):
            if other == place:
                continue
            share = path[features[other]].share
            longer = [part * share for part in polynomial] + [np.zeros(len(x))]
            for power, part in enumerate(polynomial):
                longer[power + 1] = longer[power + 1] + part * held[other]
            polynomial = longer
        weighed = sum(
            part * (factorial(power) * factorial(size - power - 1) / factorial(size))
            for power, part in enumerate(polynomial)
        )
        total[:, feature] += weighed * (held[place] - path[feature].share)
