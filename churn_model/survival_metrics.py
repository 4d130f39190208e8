"""How well curves of survival tell who leaves when, where some are only known to have stayed so long.

Each customer has a `time`, whether it left then (`event`) or was last seen then, and perhaps an `entry`
before which nobody watched it. What is not seen is weighed by the Kaplan-Meier curve of being watched, G; a
customer that leaves on the day the watching ends has left, so those who left are weighed by G just before.

Sources: Harrell, Lee and Mark, Statistics in Medicine 15 (1996) 361-387; Uno, Cai, Pencina, D'Agostino and
Wei, Statistics in Medicine 30 (2011) 1105-1117; Graf, Schmoor, Sauerbrei and Schumacher, Statistics in
Medicine 18 (1999) 2529-2545; Uno, Cai, Tian and Wei, JASA 102 (2007) 527-537 (AUC at a time).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Watched:
    """P(still there beyond t): a step function that starts at 1 and falls at `times` to `values`."""

    times: Column
    values: Column

    def at(self, t: Column) -> Column:
        """G(t)."""
        return self._up_to(t, "right")

    def before(self, t: Column) -> Column:
        """G(t-): watched at least until t."""
        return self._up_to(t, "left")

    def _up_to(self, t: Column, side: Literal["left", "right"]) -> Column:
        place = np.searchsorted(self.times, t, side=side)
        return np.asarray(np.concatenate([[1.0], self.values])[place], dtype=np.float64)


def watched_curve(time: Column, event: Mask, entry: Column | None = None) -> Watched:
    """The Kaplan-Meier estimate of G: the end of the watching is the event, and who left is out before it."""
    return _product_limit(time, ~event, entry, out_before=event)


def survival_curve(time: Column, event: Mask, entry: Column | None = None) -> Watched:
    """The Kaplan-Meier estimate of S (Kaplan and Meier, JASA 53 (1958) 457-481)."""
    return _product_limit(time, event, entry, out_before=np.zeros(len(time), dtype=bool))


def _product_limit(time: Column, ends: Mask, entry: Column | None, out_before: Mask) -> Watched:
    """Product over the times of `ends` of 1 - ends / at risk. Those in `out_before` are no longer at risk on
    the day they go; who enters on a day is at risk from the next."""
    starts = np.sort(np.zeros(len(time)) if entry is None else entry)
    times, number = np.unique(time[ends], return_counts=True)
    last, gone = np.sort(time), np.sort(time[out_before])
    at_risk = np.searchsorted(starts, times, "left") - np.searchsorted(last, times, "left")
    at_risk = at_risk - (np.searchsorted(gone, times, "right") - np.searchsorted(gone, times, "left"))
    return Watched(times, np.asarray(np.cumprod(1.0 - number / at_risk), dtype=np.float64))


def concordance(
    time: Column,
    event: Mask,
    risk: Column,
    weights: Column | None = None,
    entry: Column | None = None,
) -> float:
    """Of the pairs in which one is known to have left while the other was there and stayed longer, the share
    in which it had the higher risk; equal risks count half. `weights`: one per customer, for the pairs in
    which it is who left first. Who was last seen on the day another left outlived it.

    NaN without such a pair.
    """
    weights = np.ones(len(time)) if weights is None else weights
    late = np.zeros(len(time)) if entry is None else entry
    later: list[float] = []
    waiting: list[tuple[float, float]] = []  # (entry, risk) of those in `later`, the latest entry last
    right = total = 0.0
    order = np.lexsort((event, -time))  # from the last to the first; at one time first who stayed
    start = 0
    while start < len(order):
        i = order[start]
        stop = start
        while stop < len(order) and time[order[stop]] == time[i] and event[order[stop]] == event[i]:
            stop += 1
        group = order[start:stop]
        if event[i]:
            while waiting and waiting[-1][0] >= time[i]:  # not there yet, and at no earlier time either
                _, gone = waiting.pop()
                later.pop(bisect_left(later, gone))
            for j in group:
                below, up_to = bisect_left(later, risk[j]), bisect_right(later, risk[j])
                right += weights[j] * (below + up_to) / 2
                total += weights[j] * len(later)
        for j in group:
            insort(later, risk[j])
            if late[j] > 0:
                insort(waiting, (late[j], risk[j]))
        start = stop
    return float(right / total) if total else float("nan")


def harrell_c(time: Column, event: Mask, risk: Column, entry: Column | None = None) -> float:
    """Harrell's C."""
    return concordance(time, event, risk, entry=entry)


def uno_c(
    time: Column,
    event: Mask,
    risk: Column,
    watched: Watched,
    until: float = np.inf,
    entry: Column | None = None,
) -> float:
    """Uno's C: Harrell's, each pair weighed by 1 / G(t-)^2 of who left first, for leavers up to `until`."""
    seen = watched.before(time)
    counts = event & (time <= until) & (seen > 0)
    weights = np.where(counts, 1.0 / np.where(seen > 0, seen, 1.0) ** 2, 0.0)
    return concordance(time, event, risk, weights, entry)


def brier_at(
    time: Column,
    event: Mask,
    survival: Column,
    t: float,
    watched: Watched,
    entry: Column | None = None,
) -> float:
    """Graf's Brier score at a time: (0 - S)^2 / G(time-) of who left by t, (1 - S)^2 / G(t) of who was there
    after it, over all customers. `survival`: P(there after t), shape rows.

    With entries it is over those who had entered before t, S and G given that they were there at the entry.
    """
    gone, there = event & (time <= t), time > t
    entered = np.ones(len(time)) if entry is None else watched.at(entry)
    judged = np.ones(len(time), dtype=bool) if entry is None else entry < t
    weight_gone = entered / _positive(watched.before(time))
    weight_there = entered / _positive(watched.at(np.array([t])))[0]
    scores = gone * survival**2 * weight_gone + there * (1 - survival) ** 2 * weight_there
    return float(scores[judged].mean()) if judged.any() else float("nan")


def integrated_brier(
    time: Column,
    event: Mask,
    survival: Column,
    times: Sequence[float],
    watched: Watched,
    entry: Column | None = None,
) -> float:
    """The mean of the Brier score over [first, last] of `times`, by the trapezoid rule. `survival`: rows x
    times. Raises ValueError for fewer than two times."""
    if len(times) < 2:
        raise ValueError("an integrated Brier score needs two times")
    scores = [brier_at(time, event, survival[:, k], t, watched, entry) for k, t in enumerate(times)]
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))


def auc_at(
    time: Column,
    event: Mask,
    risk: Column,
    t: float,
    watched: Watched,
    entry: Column | None = None,
) -> float:
    """AUC at a time (cumulative, dynamic): who left by t, weighed by 1 / G(time-), against who was there
    after it; equal risks count half. With entries only who had entered before t counts, G given the entry.
    NaN without one of either."""
    judged = np.ones(len(time), dtype=bool) if entry is None else entry < t
    gone, there = event & (time <= t) & judged, (time > t) & judged
    if not gone.any() or not there.any():
        return float("nan")
    entered = np.ones(len(time)) if entry is None else watched.at(entry)
    others, of_others = np.unique(risk[there], return_inverse=True)
    share = np.bincount(of_others, weights=entered[there])
    sums = np.concatenate([[0.0], np.cumsum(share)])
    below = sums[np.searchsorted(others, risk[gone], "left")]
    up_to = sums[np.searchsorted(others, risk[gone], "right")]
    weights = entered[gone] / _positive(watched.before(time[gone]))
    return float((weights * (below + up_to) / 2).sum() / (weights.sum() * sums[-1]))


def _positive(share: Column) -> Column:
    """G, at least one in 1e6: where nobody was watched any longer the weight has a bound."""
    return np.maximum(share, 1e-6)
