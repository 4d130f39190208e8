"""What evaluations on folds share: the folds, the rules beside the models, the table of figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from churn_model import metrics
from churn_model.matrix import Input
from churn_model.protocol import LEAK_AUC

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
CHAMPION = "champion"
"""The candidate of the figures that is, in each fold, the one chosen inside its training rows."""
DRAWN_NUMBERS = 20_000_000
"""The bootstrap draws fewer times where rows are so many that its weights would not fit."""


def split(
    y: Mask, groups: NDArray[Any] | None, folds: int, seed: int, *, stratified: bool
) -> list[tuple[Places, Places]]:
    """(Training rows, test rows) of each fold; rows of a group stay together."""
    none = np.zeros((len(y), 1))
    if groups is None:
        kind = StratifiedKFold if stratified else KFold
        return list(kind(folds, shuffle=True, random_state=seed).split(none, y))
    if stratified:
        return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(none, y, groups))
    return list(GroupKFold(folds, shuffle=True, random_state=seed).split(none, y, groups))


@dataclass(frozen=True)
class ColumnRule:
    """The rule beside the models: the one column that ranks the training rows best, read in its direction; a
    category counts by its rate there. A null is where the nulls of training are."""

    place: int
    scores: Mapping[float, float] | None
    """Of a category: its place to its rate. None for a number."""
    sign: float
    null: float

    def risk(self, x: Column) -> Column:
        """A ranking, no probability; shape rows."""
        column = x[:, self.place]
        if self.scores is None:
            values = self.sign * column
        else:
            values = np.array([self.scores.get(float(v), np.nan) for v in column])
        return np.where(np.isnan(values), self.null, values)


def column_rule(x: Column, y: Mask, inputs: Sequence[Input], exposure: Column | None = None) -> ColumnRule:
    """The column with the best AUC in training rows, of both directions the better. exposure: how long each
    row was watched; rates are events by time."""
    exposure = np.ones(len(y)) if exposure is None else exposure
    best: tuple[float, ColumnRule] | None = None
    labels = y.astype(np.float64)
    for place, one in enumerate(inputs):
        rule = _rule_of(x[:, place], labels, exposure, place, one)
        area = float(metrics.auc(labels, rule.risk(x))[0])
        if best is None or area > best[0]:
            best = area, rule
    assert best is not None
    return best[1]


def _rule_of(column: Column, y: Column, exposure: Column, place: int, one: Input) -> ColumnRule:
    is_null = np.isnan(column)
    rate_of_null = float(y[is_null].sum() / exposure[is_null].sum()) if is_null.any() else float("nan")
    overall = float(y.sum() / exposure.sum())
    if one.categories is not None:
        scores = {
            float(level): float(y[column == level].sum() / exposure[column == level].sum())
            for level in range(one.levels)
            if (column == level).any()
        }
        return ColumnRule(place, scores, 1.0, overall if np.isnan(rate_of_null) else rate_of_null)
    known = ~is_null
    area = float(metrics.auc(y[known], column[known])[0]) if known.any() else float("nan")
    sign = -1.0 if area < 0.5 else 1.0
    # nulls stand at the end of the side on which their rate is
    ends = sign * column[known]
    high = bool(rate_of_null > overall)
    null = float((ends.max() + 1 if high else ends.min() - 1) if len(ends) else 0.0)
    return ColumnRule(place, None, sign, null)


def leak_alarms(x: Column, y: Mask, inputs: Sequence[Input]) -> tuple[str, ...]:
    """The inputs that alone, or by being null alone, rank leavers almost perfectly: an AUC over 0.95.
    Categories are ranked by their rate in the other half of the rows, so that many rare ones are no alarm."""
    alarms = []
    labels = y.astype(np.float64)
    halves = np.arange(len(y)) % 2 == 0
    for place, one in enumerate(inputs):
        column = x[:, [place]]
        areas = []
        for rest in (halves, ~halves):
            if 0 < labels[rest].sum() < rest.sum() and 0 < labels[~rest].sum() < (~rest).sum():
                rule = _rule_of(column[rest, 0], labels[rest], np.ones(int(rest.sum())), 0, one)
                areas.append(float(metrics.auc(labels[~rest], rule.risk(column[~rest]))[0]))
        known = (~np.isnan(column[:, 0])).astype(np.float64)
        alone = float(metrics.auc(labels, known)[0])
        if (areas and np.mean(areas) > LEAK_AUC) or max(alone, 1 - alone) > LEAK_AUC:
            alarms.append(one.name)
    return tuple(alarms)


@dataclass(frozen=True)
class Measured:
    """A figure of one fold and, where it has an interval, its draws by the bootstrap."""

    value: float
    draws: Column | None = None


def figures_of(
    candidate: str, folds: Sequence[Mapping[str, Measured]], customers: Sequence[int], rates: Sequence[float]
) -> list[dict[str, Any]]:
    """Rows of figures: of each fold, then the mean over folds with its standard deviation and, where every
    fold has draws, the 95 % interval of the mean."""
    rows = []
    for metric in folds[0]:
        measured = [fold[metric] for fold in folds]
        for place, one in enumerate(measured):
            low, high = (None, None) if one.draws is None else metrics.interval(one.draws)
            rows.append(
                _row(candidate, f"fold {place + 1}", metric, one.value, low, high)
                | {"sd": None, "customers": customers[place], "base_rate": rates[place]}
            )
        values = np.array([one.value for one in measured])
        draws = [one.draws for one in measured if one.draws is not None]
        low, high = metrics.interval(np.mean(draws, axis=0)) if len(draws) == len(measured) else (None, None)
        rows.append(
            _row(candidate, None, metric, float(values.mean()), low, high)
            | {
                "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                "customers": sum(customers),
                "base_rate": float(np.average(rates, weights=customers)),
            }
        )
    return rows


def _row(
    candidate: str, where: str | None, metric: str, value: float, low: float | None, high: float | None
) -> dict[str, Any]:
    return {
        "candidate": candidate,
        "split": where,
        "role": "fold",
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
    }


def mean_of(figures: Sequence[Mapping[str, Any]], candidate: str, metric: str) -> float:
    """The mean over folds; NaN where the candidate has no such figure."""
    for row in figures:
        if (row["candidate"], row["metric"], row["split"]) == (candidate, metric, None):
            return float(row["value"])
    return float("nan")


def weights_of(units: NDArray[Any], seed: int) -> Column:
    """Bootstrap weights, draws x rows: rows of a unit share theirs."""
    _, codes = np.unique(units, return_inverse=True)
    draws = int(min(metrics.DRAWS, max(20, DRAWN_NUMBERS // max(1, len(units)))))
    return metrics.bootstrap_weights(int(codes.max()) + 1, seed, draws)[:, codes]


def most_chosen(champions: Sequence[str], order: Sequence[str]) -> str:
    """The candidate that was champion in most folds; of equals the simplest."""
    return max(order, key=lambda name: (champions.count(name), -order.index(name)))
