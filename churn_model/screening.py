"""Which inputs tell leavers from the others beyond chance: what does not stays out of a model.

A few hundred leavers cannot bear witness to seventy inputs: each that says nothing still gets a shape, and
the shapes of many add up to noise in the score and to reasons that are none. So an input enters once its
values among leavers are unlike those of everybody: Pearson's test over ten bins of equal count and the rows
without a value, one row a leaver, at a level that lets a useless input in in one model of twenty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from churn_model.monitoring import bins_of

LEVEL = 0.05
Column = NDArray[np.float64]
Mask = NDArray[np.bool_]


def telling(x: Column, leavers: NDArray[np.int64]) -> Mask:
    """Of each column whether it tells leavers apart. x: rows x inputs, all rows; leavers: the places of one
    row of each leaver."""
    level = LEVEL / max(x.shape[1], 1)
    return np.array([_p_value(x[:, j], leavers) < level for j in range(x.shape[1])], dtype=bool)


def _p_value(column: Column, leavers: NDArray[np.int64]) -> float:
    bins = bins_of(column)
    everybody = np.asarray(bins.counts, dtype=np.float64)
    left = bins.count(column[leavers]).astype(np.float64)
    there = everybody > 0
    if there.sum() < 2:
        return 1.0
    expected = everybody[there] / everybody.sum() * left.sum()
    statistic = float(((left[there] - expected) ** 2 / expected).sum())
    return float(chi2.sf(statistic, int(there.sum()) - 1))
