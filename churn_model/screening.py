"""Which inputs tell leavers from the others beyond chance: what does not stays out of a model.

A few hundred leavers cannot bear witness to seventy inputs: each that says nothing still gets a shape, and
the shapes of many add up to noise in the score and to reasons that are none. So an input enters once its
values among leavers are unlike those of everybody on the same days, at a level at which of ten inputs that
enter at most one is useless (Benjamini and Hochberg 1995). One row a leaver is set beside the rows of its
day, for a history that begins one day makes every age, and whatever grows with it, seem to tell.

- Pearson's test over ten bins of equal count and the rows without a value finds whatever form there is;
- where it is sure beforehand which way an input goes (more tickets, more risk), ranks are compared in that
  direction alone, by Savage's scores, in which the risky end counts most. A cause that a dozen leavers had
  shows so, and is lost among ten bins.

Of an input with both tests the smaller p counts, doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm, rankdata

from churn_model.monitoring import bins_of

LEVEL = 0.1
NOTHING = 1e-9
Column = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]


def telling(
    x: Column, leavers: Places, directions: Sequence[int] = (), days: NDArray[Any] | None = None
) -> Mask:
    """Of each column whether it tells leavers apart. x: rows x inputs, all rows; leavers: the places of one
    row of each leaver; directions: of each column 1 where more of it can only mean more risk, -1 where less,
    0 where either (all, if not given); days: of each row, one if not given."""
    signs = directions or [0] * x.shape[1]
    _, day = np.unique(np.zeros(len(x)) if days is None else days, return_inverse=True)
    return discovered(np.array([_p_value(x[:, j], leavers, signs[j], day) for j in range(x.shape[1])]))


def discovered(p_values: Column) -> Mask:
    """The tests to be believed: those up to the largest p that is at most its rank's share of LEVEL."""
    ordered = np.sort(p_values)
    believed = np.flatnonzero(ordered <= LEVEL * np.arange(1, len(ordered) + 1) / max(len(ordered), 1))
    return p_values <= (ordered[believed[-1]] if len(believed) else -1.0)


def _p_value(column: Column, leavers: Places, direction: int, day: Places) -> float:
    of_bins = _of_bins(column, leavers, day)
    return 2 * min(of_bins, _of_ranks(direction * column, leavers, day)) if direction else of_bins


def _of_bins(column: Column, leavers: Places, day: Places) -> float:
    bins = bins_of(column)
    place = bins.places_of(column)
    rows = np.bincount(day)
    weights = np.bincount(day[leavers], minlength=len(rows)) / rows
    expected = np.bincount(place, weights=weights[day], minlength=len(bins.counts))
    left = bins.count(column[leavers]).astype(np.float64)
    there = expected > 0
    if there.sum() < 2:
        return 1.0
    statistic = float(((left[there] - expected[there]) ** 2 / expected[there]).sum())
    return float(chi2.sf(statistic, int(there.sum()) - 1))


def _of_ranks(column: Column, leavers: Places, day: Places) -> float:
    """How likely leavers would score as high as they do, were they any of the rows of their days that have a
    value."""
    known = ~np.isnan(column)
    leavers = leavers[known[leavers]]
    scores, day_of = np.zeros(len(column)), day[known]
    scores[known] = -np.log(1 - rankdata(column[known]) / (known.sum() + 1))
    rows = np.maximum(np.bincount(day_of, minlength=int(day.max()) + 1), 1)
    mean = np.bincount(day_of, weights=scores[known], minlength=len(rows)) / rows
    apart = scores - mean[day]
    spread = np.bincount(day_of, weights=apart[known] ** 2, minlength=len(rows)) / rows
    deviation = float(np.sqrt(spread[day[leavers]].sum()))
    return float(norm.sf(apart[leavers].sum() / deviation)) if deviation > NOTHING else 1.0
