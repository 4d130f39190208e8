"""Figures of a ranked or a probabilistic list against what happened, with intervals.

All functions take y (left or not) and p (higher = more at risk), both of shape rows, and optionally weights
of shape draws x rows; they return one figure a draw. NaN where a figure cannot be computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
BINS = 15
DRAWS = 400


def _ones(y: Column) -> Column:
    return np.ones((1, len(y)))


def auc(y: Column, p: Column, weights: Column | None = None) -> Column:
    """Area under the ROC curve: the share of (left, stayed) pairs ranked right, ties counting half."""
    weights = _ones(y) if weights is None else weights
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(p[order]) > 0])
    left = np.add.reduceat((weights * y)[:, order], starts, axis=1)
    stayed = np.add.reduceat((weights * (1 - y))[:, order], starts, axis=1)
    below = np.cumsum(stayed, axis=1) - stayed
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((left * (below + stayed / 2)).sum(axis=1) / (left.sum(axis=1) * stayed.sum(axis=1)))


def average_precision(y: Column, p: Column, weights: Column | None = None) -> Column:
    """Precision at each distinct score, weighted by the gain in recall."""
    weights = _ones(y) if weights is None else weights
    order = np.argsort(-p, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(-p[order]) > 0])
    left = np.add.reduceat((weights * y)[:, order], starts, axis=1)
    all_rows = np.add.reduceat(weights[:, order], starts, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.nan_to_num(np.cumsum(left, axis=1) / np.cumsum(all_rows, axis=1))
        return np.asarray((precision * left).sum(axis=1) / left.sum(axis=1))


def brier(y: Column, p: Column, weights: Column | None = None) -> Column:
    """Mean squared distance of probability and outcome."""
    weights = _ones(y) if weights is None else weights
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights * (p - y) ** 2).sum(axis=1) / weights.sum(axis=1))


def log_losses(y: Column, p: Column) -> Column:
    """Minus the log of the probability given to what happened, row by row."""
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(y * np.log(inside) + (1 - y) * np.log(1 - inside)))


def reliability(y: Column, p: Column, bins: int = BINS) -> list[tuple[int, float, float]]:
    """Bins of equal count by probability: (rows, mean probability, share that left)."""
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return [(len(part), float(p[part].mean()), float(y[part].mean())) for part in parts if len(part)]


def ece(y: Column, p: Column, bins: int = BINS) -> float:
    """Expected calibration error: mean distance of predicted and observed over bins of equal count."""
    rows = reliability(y, p, bins)
    return sum(n * abs(predicted - observed) for n, predicted, observed in rows) / len(y)


def lift(y: Column, p: Column, share: float = 0.1) -> float:
    """How many times the base rate the share of leavers is in the top of the list."""
    top = np.argsort(-p, kind="stable")[: max(1, round(share * len(p)))]
    return float(y[top].mean() / y.mean()) if y.any() else float("nan")


def revenue_share(y: Column, p: Column, revenue: Column, share: float = 0.1) -> float:
    """The part of the leavers' revenue in the top of the list by p x revenue; revenue below 0 is 0."""
    worth = np.maximum(revenue, 0.0)
    top = np.argsort(-p * worth, kind="stable")[: max(1, round(share * len(p)))]
    lost = float((y * worth).sum())
    return float((y * worth)[top].sum() / lost) if lost > 0 else float("nan")


def bootstrap_weights(rows: int, seed: int, draws: int = DRAWS) -> Column:
    """Poisson(1) weights, draws x rows: the bootstrap over customers, each of whom has one row."""
    return np.random.default_rng(seed).poisson(1.0, size=(draws, rows)).astype(np.float64)


def interval(values: Column) -> tuple[float, float]:
    """The middle 95 % of the draws."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)
