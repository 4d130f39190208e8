"""The point-in-time panel: one row per customer and as-of day, features known on that day, label after it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

HORIZON_DAYS = 90

FORBIDDEN = (
    "customer_id",
    "as_of",
    "churned_90",
    "churned_after_a_week",
    "days_to_next_order",
    "label_closes_on",
    "is_label_closed",
    "is_origin",
    "trailing_revenue_minor",
    "p_90",
    "score_pct",
    "cancel_reason",
    "end_cause",
    "ended_on",
    "ended_cause",
    "ended_recorded_on",
    "returned_within_30",
    "observed_until",
    "mrr_lost_share_90",
    "is_at_risk",
    "has_notice",
    "row_number",
)
"""Columns that are keys, outcomes or earlier scores: no feature may bear one of these names."""


@dataclass(frozen=True)
class Feature:
    """One feature of features.toml. `theme`: features that tell one story, ranked together as a reason.

    kind: numeric or categorical. direction: what more of it does to the risk (up, down, or none: either way).
    owner: who answers for its source. is_reason: False for what nobody can act on. needs: a column that an
    order file may lack, and with it this feature.
    """

    name: str
    family: str
    theme: str
    unit: str
    window: int
    formula: str
    null_rule: str
    template_en: str
    template_ar: str
    template_null_en: str = ""
    template_null_ar: str = ""
    kind: str = "numeric"
    direction: str = "none"
    owner: str = ""
    is_reason: bool = True
    needs: str = ""


FEATURES = Path(__file__).with_name("features.toml")


@cache
def features_of(path: Path = FEATURES) -> tuple[Feature, ...]:
    """The features in their order. Raises ValueError for a forbidden or repeated name."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["feature"]
    features = tuple(Feature(**entry) for entry in entries)
    names = [feature.name for feature in features]
    refuse_forbidden(names)
    return features


def refuse_forbidden(names: Sequence[str]) -> None:
    """Raises ValueError where a name is forbidden as an input or occurs twice."""
    wrong = sorted(set(names) & set(FORBIDDEN)) + sorted({name for name in names if names.count(name) > 1})
    if wrong:
        raise ValueError(f"not allowed as features: {', '.join(wrong)}")


@dataclass(frozen=True)
class Panel:
    """Rows of snapshots: x (rows x features, NaN = no history), y (1 left, 0 stayed, NaN = not closed yet),
    and the frame they came from, all in one order. A label closes `horizon_days` after its as-of day."""

    frame: pl.DataFrame
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    horizon_days: int = HORIZON_DAYS

    @property
    def as_of(self) -> pl.Series:
        return self.frame["as_of"]

    def rows(self, mask: pl.Series) -> Panel:
        """The rows where mask is true."""
        chosen = mask.to_numpy()
        return Panel(self.frame.filter(mask), self.x[chosen], self.y[chosen], self.horizon_days)

    def on(self, day: date) -> Panel:
        """One snapshot: where the rows are in order of days, as a view of these."""
        if not self.as_of.is_sorted():
            return self.rows(self.as_of == day)
        rows = slice(self.as_of.search_sorted(day, "left"), self.as_of.search_sorted(day, "right"))
        return Panel(self.frame[rows], self.x[rows], self.y[rows], self.horizon_days)

    def closed_by(self, day: date) -> Panel:
        """Rows whose label window has ended by a day: what may be learned from on it."""
        return self.rows(self.as_of.dt.offset_by(f"{self.horizon_days}d") <= day)


def panel_of(frame: pl.DataFrame, features: Sequence[Feature], horizon_days: int = HORIZON_DAYS) -> Panel:
    """A panel from rows of fct_customer_snapshots, ordered by as-of day and customer.

    Raises ValueError naming the columns that are missing.
    """
    needed = [feature.name for feature in features] + ["customer_id", "as_of", "churned_90"]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ValueError(f"the snapshots lack {', '.join(missing)}")
    frame = frame.sort("as_of", "customer_id")
    x = frame.select(pl.col(feature.name).cast(pl.Float64) for feature in features).to_numpy()
    y = frame["churned_90"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return Panel(frame, np.ascontiguousarray(x.astype(np.float64)), y.astype(np.float64), horizon_days)


def closed_origins(panel: Panel, by: date) -> list[date]:
    """Origins whose label window has ended by a day, oldest first: the days that the snapshots call origins,
    month ends where they call none."""
    horizon = timedelta(days=panel.horizon_days)
    if "is_origin" in panel.frame.columns:
        days = panel.as_of.filter(panel.frame["is_origin"]).unique().sort().to_list()
    else:
        days = [day for day in panel.as_of.unique().sort() if (day + timedelta(days=1)).day == 1]
    return [day for day in days if day + horizon <= by]
