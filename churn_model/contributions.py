"""Scoring and taking apart a million rows at about the cost of scoring them.

The arithmetic is that of `explain`: c_j = f_j(x_j) - f_j(reference_j), base + sum of c_j = logit, points on
the straight line from reference to customer. Here it runs block by block over all rows at once: each step
function is one binary search and one look-up, features are summed by group, and the leading groups and their
strongest members come out as numbers. No sentence is built; that is for the rows which somebody reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn_model.model import AdditiveModel, Steps, Term, sigmoid

Column = NDArray[np.float64]
Places = NDArray[np.int64]

BLOCK = 10_000
"""Rows at a time: what one block makes stays in the processor's cache."""

RAISING = 3
SMALL = 1e-9
NONE = -1


@dataclass(frozen=True)
class Groups:
    """Which features tell one story. `order`: the features' places, group by group; `starts`: where each
    group begins in it; `may_speak`: of each feature in its own place, whether it may be named as a
    reason."""

    names: tuple[str, ...]
    order: Places
    starts: Places
    may_speak: NDArray[np.bool_]

    def members(self, group: int) -> Places:
        """The places of a group's features."""
        return np.split(self.order, self.starts[1:])[group]


def groups_of(group_of_feature: Sequence[str], silent: Sequence[bool] | None = None) -> Groups:
    """Groups in the order of their first feature. `silent`: features that score but are never a reason; a
    group of none but such is never one either."""
    names = tuple(dict.fromkeys(group_of_feature))
    place = np.array([names.index(name) for name in group_of_feature], dtype=np.int64)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(names)))
    speaks = ~np.asarray(silent, dtype=bool) if silent is not None else np.ones(len(place), dtype=bool)
    return Groups(names, order, starts, speaks)


@dataclass(frozen=True)
class Leading:
    """The groups that lead each row. Shape rows x 4: the three that raise the risk most, then the one that
    lowers it most; -1 (and zeros) where there is none. `feature`: the strongest member, its place among the
    features."""

    group: Places
    feature: Places
    contribution: Column
    points: Column


@dataclass(frozen=True)
class Told:
    """`logit`, `p`: rows; `base_logit` is the reference's, without the season offset."""

    base_logit: float
    season_offset: float
    p_reference: float
    logit: Column
    p: Column
    leading: Leading


Part = tuple[Column, Column] | tuple[Term, float]
"""Of one feature: a table (bounds, values) of its step functions, or another term with its weight."""


@dataclass(frozen=True)
class Tables:
    """An additive model made ready for many rows: every feature's parts, its value at the reference taken
    off."""

    parts: tuple[tuple[Part, ...], ...]
    at_reference: Column
    base_logit: float

    def contributions(self, x: Column) -> Column:
        """c_j: shape features x rows (one row of memory a feature). x: rows x features."""
        out = np.empty((len(self.parts), len(x)))
        for j, parts in enumerate(self.parts):
            column = np.ascontiguousarray(x[:, j])
            out[j] = -self.at_reference[j]
            for part in parts:
                out[j] += _values(part, column)
        return out


def tables_of(model: AdditiveModel, reference: Column) -> Tables:
    """The tables of a model for one reference (one value a feature, NaN: none known)."""
    parts = tuple(_parts(terms) for terms in model.terms)
    at_reference = np.array(
        [sum(float(_values(part, reference[j : j + 1])[0]) for part in parts[j]) for j in range(len(parts))]
    )
    return Tables(parts, at_reference, float(model.intercept + at_reference.sum()))


def _parts(terms: Sequence[tuple[float, Term]]) -> tuple[Part, ...]:
    return tuple(_table(w, term) if isinstance(term, Steps) else (term, w) for w, term in terms)


def _table(weight: float, steps: Steps) -> tuple[Column, Column]:
    """Bounds with infinity at the end: a NaN is searched to behind it, where the value of "no history"
    stands."""
    return np.array([*steps.thresholds, np.inf]), weight * np.array([*steps.levels, steps.null])


def _values(part: Part, column: Column) -> Column:
    first, second = part
    if isinstance(first, np.ndarray):
        return np.take(second, np.searchsorted(first, column, side="left"))
    return np.asarray(second * first.values(column), dtype=np.float64)


def leading(points: Column, contributions: Column, is_null: NDArray[np.bool_], groups: Groups) -> Leading:
    """Sum by group, rank the groups, and name the strongest member of each that leads.

    points, contributions, is_null: features x rows. A member speaks in the direction of its group alone, and
    one that has a value before one without; a group none of whose members may do so, or does, is no reason.
    """
    rows = points.shape[1]
    ordered, speaks = groups.order, groups.may_speak
    by_group = np.add.reduceat(points[ordered], groups.starts, axis=0)
    total = np.add.reduceat(contributions[ordered], groups.starts, axis=0)
    member = np.empty((len(groups.names), rows), dtype=np.int64)
    ranked = by_group.copy()
    for g, features in enumerate(np.split(ordered, groups.starts[1:])):
        able = features[speaks[features]]
        if not len(able):
            ranked[g] = 0.0
            member[g] = NONE
            continue
        strength = points[able] * np.where(by_group[g] >= 0, 1.0, -1.0)
        has_part = strength > SMALL
        if len(able) == 1:
            member[g] = able[0]
            is_told = has_part[0]
        else:
            strength[is_null[able]] -= 2.0  # points are within (-1, 1): every null ranks behind every value
            strength[~has_part] -= 4.0
            member[g] = able[strength.argmax(axis=0)]
            is_told = has_part.any(axis=0)
        ranked[g] *= is_told
    lowest = ranked.argmin(axis=0)
    chosen = np.full((RAISING + 1, rows), NONE, dtype=np.int64)
    everyone = np.arange(rows)
    chosen[RAISING] = np.where(ranked[lowest, everyone] < -SMALL, lowest, NONE)
    for place in range(min(RAISING, len(groups.names))):
        highest = ranked.argmax(axis=0)
        chosen[place] = np.where(ranked[highest, everyone] > SMALL, highest, NONE)
        ranked[highest, everyone] = -np.inf
    is_none = chosen == NONE
    return Leading(
        group=chosen.T,
        feature=np.where(is_none, NONE, member[chosen, everyone]).T,
        contribution=np.where(is_none, 0.0, total[chosen, everyone]).T,
        points=np.where(is_none, 0.0, by_group[chosen, everyone]).T,
    )


def slope_of(
    total: Column, p: Column, start: float, probability: Callable[[Column], Column] = sigmoid
) -> Column:
    """Points per unit of contribution: (P(b + C) - P(b)) / C; where C is nothing, P'(b). Shape rows."""
    at_start, above, below = (float(probability(np.array([start + h]))[0]) for h in (0.0, 1e-5, -1e-5))
    is_moved = np.abs(total) > SMALL
    return np.where(is_moved, (p - at_start) / np.where(is_moved, total, 1.0), (above - below) / 2e-5)


def score_and_tell(
    model: AdditiveModel,
    x: Column,
    reference: Column,
    groups: Groups,
    season_offset: float = 0.0,
    probability: Callable[[Column], Column] = sigmoid,
) -> Told:
    """Probability and leading reasons of every row. x: rows x features, reference: one value a feature.

    `probability` turns a logit (season offset included) into p: for a hazard, that of the horizon.
    """
    ready = tables_of(model, reference)
    start = ready.base_logit + season_offset
    logit, p = np.empty(len(x)), np.empty(len(x))
    lead = Leading(
        np.empty((len(x), RAISING + 1), dtype=np.int64),
        np.empty((len(x), RAISING + 1), dtype=np.int64),
        np.empty((len(x), RAISING + 1)),
        np.empty((len(x), RAISING + 1)),
    )
    for first in range(0, len(x), BLOCK):
        rows = slice(first, first + BLOCK)
        block = x[rows]
        contributions = ready.contributions(block)
        total = contributions.sum(axis=0)
        logit[rows] = start + total
        p[rows] = probability(logit[rows])
        points = contributions * slope_of(total, p[rows], start, probability)
        found = leading(points, contributions, np.isnan(block).T, groups)
        lead.group[rows], lead.feature[rows] = found.group, found.feature
        lead.contribution[rows], lead.points[rows] = found.contribution, found.points
    p_reference = float(probability(np.array([start]))[0])
    return Told(ready.base_logit, season_offset, p_reference, logit, p, lead)
