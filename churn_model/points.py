"""The points score of accounts: a rule of 0 to 100 points that stands in where there is too little history.

It ranks and gives its grounds; it is no probability, and no figure of revenue at risk rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """So many points where a feature is above (or below) a limit. A null scores nothing."""

    feature: str
    points: int
    above: float | None = None
    below: float | None = None

    def holds(self) -> pl.Expr:
        value = pl.col(self.feature).cast(pl.Float64)
        found = value > self.above if self.above is not None else value < self.below
        return found.fill_null(False)


RULES: Sequence[Rule] = (
    Rule("failed_payments_90", 25, above=0),
    Rule("usage_trend", 20, below=math.log(0.6)),
    Rule("days_overdue_max", 15, above=0),
    Rule("days_since_use", 15, above=14),
    Rule("seat_use", 15, below=0.5),
    Rule("open_urgent", 10, above=0),
)


def account_points(frame: pl.DataFrame) -> tuple[Column, list[list[str]]]:
    """Of each row the points, and the features whose rule holds, the most points first. A feature that the
    frame lacks scores nothing."""
    rules = [rule for rule in RULES if rule.feature in frame.columns]
    held = frame.select(rule.holds().alias(rule.feature) for rule in rules)
    points = np.zeros(frame.height)
    for rule in rules:
        points += rule.points * held[rule.feature].cast(pl.Float64).to_numpy()
    return points, [
        [rule.feature for rule in rules if row[rule.feature]] for row in held.iter_rows(named=True)
    ]
