"""Accounts with a contract as the hazards see them: the panel of marts.fct_account_snapshots, its labels, and
the reference each account is set beside.

An end counts once it is known not to be followed by a return: 30 days after it. So a label of 90 days closes
120 days after its as-of day, and on a day T outcomes are known up to T - 30.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn_model.dataset import HORIZON_DAYS, Feature, Panel, features_of
from churn_model.explain import reference_of
from churn_model.hazard import HazardPanel
from churn_model.matrix import Input, inputs_of, matrix_of

TABLE = "fct_account_snapshots"
FEATURES = Path(__file__).with_name("account_features.toml")
RETURN_DAYS = 30
CLOSES_AFTER = HORIZON_DAYS + RETURN_DAYS
MIN_PEERS = 30
LEARNED_ROWS, LEARNED_DAYS = 8_000, 8
"""Of what lies beyond the next 90 days month ends are left out, every second or third, while more rows than
this are left of at least so many days: such an end stands in up to nine snapshots, and one in three of them
teaches nearly as much in a quarter of the time. The next 90 days are learned from all month ends: what leads
to an end soon, a declined payment or the last day for notice, shows at one or two of them."""
MOST_ROWS = 60_000
"""Beyond this many rows a fixed part of the customers is learned from, chosen by hash, whatever became of
them.
"""
MOST_NEAR_ROWS = 150_000
"""The same of the next 90 days: three steps of time where the rest of the year has nine."""
Column = NDArray[np.float64]


def account_features() -> tuple[Feature, ...]:
    return features_of(FEATURES)


def account_directions() -> dict[str, int]:
    """By feature 1 where more of it can only raise the risk, -1 where lower it; others are left out."""
    signs = {"up": 1, "down": -1}
    return {one.name: signs[one.direction] for one in account_features() if one.direction in signs}


def at_risk(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of accounts at risk, in one order: by as-of day, then customer."""
    rows = frame if frame["is_at_risk"].all() else frame.filter(pl.col("is_at_risk"))
    keys = rows.select(pl.struct("as_of", "customer_id"))
    return rows if keys.to_series().is_sorted() else rows.sort("as_of", "customer_id")


def account_inputs(frame: pl.DataFrame, features: Sequence[Feature]) -> tuple[Input, ...]:
    """How the features enter a matrix: texts as categories, in the order of training."""
    return inputs_of(frame, [feature.name for feature in features])


def account_panel(frame: pl.DataFrame, inputs: Sequence[Input]) -> Panel:
    """The 90-day panel of rows at risk: y is 1 for an end within 90 days that was no short return, 0 for
    none, NaN while the label is open. An end counts when it was recorded by the day its label closes. frame:
    rows of the mart; raises ValueError naming columns it lacks."""
    frame = at_risk(frame)
    y = frame.select(pl.when(is_closed()).then(has_left().cast(pl.Float64))).to_series()
    return Panel(
        frame,
        matrix_of(frame, inputs),
        y.fill_null(float("nan")).to_numpy(),
        horizon_days=CLOSES_AFTER,
    )


def has_left() -> pl.Expr:
    """Whether an account ended within 90 days of `as_of`, as recorded by the day its label closes, and was
    not back within 30. Of rows with the outcome columns of the mart."""
    is_recorded = _days("ended_recorded_on") <= CLOSES_AFTER
    is_back = pl.col("returned_within_30").fill_null(False)
    return ((_days("ended_on") <= HORIZON_DAYS) & is_recorded & ~is_back).fill_null(False)


def is_closed() -> pl.Expr:
    """Whether that is known: the outcomes are complete to the day the label closes."""
    return _days("observed_until") >= CLOSES_AFTER


def near_rows(panel: Panel, day: date) -> Panel:
    """The rows before a day that the hazards of the next 90 days are learned from: at most 150,000."""
    return _at_most(panel.rows(panel.as_of < day), MOST_NEAR_ROWS)


def learned_rows(panel: Panel, day: date) -> Panel:
    """The rows before a day that the hazards beyond are learned from: at most 60,000, newest month ends
    first."""
    earlier = panel.rows(panel.as_of < day)
    days = sorted(earlier.as_of.unique().to_list(), reverse=True)
    rows = dict(earlier.as_of.value_counts().rows())
    step = 1
    while len(days[:: step + 1]) >= LEARNED_DAYS and sum(rows[one] for one in days[::step]) > LEARNED_ROWS:
        step += 1
    return _at_most(earlier.rows(earlier.as_of.is_in(days[::step])), MOST_ROWS)


def _at_most(rows: Panel, most: int) -> Panel:
    """The rows of a fixed part of the customers where they are more than may be learned from."""
    parts = -(-len(rows.y) // most)
    if parts <= 1:
        return rows
    chosen = [_hash(customer) % parts == 0 for customer in rows.frame["customer_id"]]
    return rows.rows(pl.Series(chosen))


def _hash(customer_id: str) -> int:
    return int.from_bytes(hashlib.sha256(customer_id.encode()).digest()[:8], "big")


def hazard_panel(panel: Panel, inputs: Sequence[Input], known_on: date) -> HazardPanel:
    """What may be learned on a day: outcomes up to 30 days before it; later ends are not known yet."""
    frame = panel.frame
    limit = pl.min_horizontal(pl.lit(known_on), pl.col("observed_until")) - pl.duration(days=RETURN_DAYS)
    known = frame.select(
        ended=_days("ended_on"),
        observed=(limit - pl.col("as_of")).dt.total_days().cast(pl.Float64),
        returned=pl.col("returned_within_30").fill_null(False),
        cause=pl.col("ended_cause").fill_null(""),
        is_recorded=(pl.col("ended_recorded_on") <= known_on).fill_null(False),
    ).with_columns(
        # a short return is no end; what became of the customer after it, these columns do not tell
        observed=pl.when("returned").then(pl.min_horizontal("observed", "ended")).otherwise("observed"),
        ended=pl.when(~pl.col("returned") & pl.col("is_recorded")).then("ended"),
    )
    return HazardPanel(
        x=panel.x,
        inputs=tuple(inputs),
        days_to_event=_floats(known["ended"]),
        cause=known["cause"].to_numpy(),
        observed_days=_floats(known["observed"]),
        decision_days=decision_days(frame),
        as_of=as_of_days(frame),
        customer_id=frame["customer_id"].to_numpy(),
    )


def learned_frame(panel: HazardPanel) -> pl.DataFrame:
    """Everything a panel teaches, as a frame: what a model's identity is made of."""
    is_known = panel.days_to_event <= panel.observed_days
    columns: dict[str, Any] = {
        "customer_id": panel.customer_id,
        "as_of": panel.as_of,
        "ended": np.where(is_known, panel.days_to_event, np.nan),
        "cause": np.where(is_known, panel.cause, ""),
        "observed": panel.observed_days,
        "decision": panel.decision_days,
    }
    return pl.DataFrame(columns).hstack(pl.DataFrame(panel.x, schema=[one.name for one in panel.inputs]))


def decision_days(frame: pl.DataFrame) -> Column:
    """Days to the next decision point, NaN without one."""
    return _floats(frame.select(_days("decision_on")).to_series())


def as_of_days(frame: pl.DataFrame) -> NDArray[np.datetime64]:
    return frame["as_of"].to_numpy().astype("datetime64[D]")


def _days(column: str) -> pl.Expr:
    return (pl.col(column) - pl.col("as_of")).dt.total_days().cast(pl.Float64)


def _floats(column: pl.Series) -> Column:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


# The reference.


@dataclass(frozen=True)
class References:
    """The typical account of each peer group (segment and class) with at least 30 customers, of each class,
    and of all: features and days to the decision point."""

    by_group: dict[str, tuple[Column, float]]

    def of(self, frame: pl.DataFrame) -> tuple[Column, Column]:
        """For each row the features (rows x features) and the days (rows) of its narrowest group."""
        chosen = [
            next(self.by_group[key] for key in keys if key in self.by_group) for keys in group_keys(frame)
        ]
        return np.array([one[0] for one in chosen]), np.array([one[1] for one in chosen])

    def to_json(self) -> dict[str, Any]:
        return {
            key: {"features": _nullable(values), "decision_days": _nullable([days])[0]}
            for key, (values, days) in self.by_group.items()
        }


def references_from_json(content: dict[str, Any]) -> References:
    def number(value: float | None) -> float:
        return float("nan") if value is None else float(value)

    return References(
        {
            key: (np.array([number(v) for v in one["features"]]), number(one["decision_days"]))
            for key, one in content.items()
        }
    )


def references_of(panel: Panel, inputs: Sequence[Input]) -> References:
    """Medians of training accounts; of a category the most frequent one."""
    groups: dict[str, list[int]] = {}
    for row, keys in enumerate(group_keys(panel.frame)):
        for key in keys:
            groups.setdefault(key, []).append(row)
    customers = panel.frame["customer_id"].to_numpy()
    days = decision_days(panel.frame)
    found = {}
    for key in sorted(groups):
        rows = np.array(groups[key])
        if key.count("|") and len(np.unique(customers[rows])) < MIN_PEERS:
            continue
        found[key] = (_typical(panel.x[rows], inputs), float(reference_of(days[rows][:, None])[0]))
    return References(found)


def group_keys(frame: pl.DataFrame) -> list[tuple[str, str, str]]:
    """Of each row its peer groups, the narrowest first: class|segment, class|, and all."""
    pairs = frame.select("commitment_class", pl.col("segment").cast(pl.String).fill_null("-")).rows()
    return [(f"{commitment}|{segment}", f"{commitment}|", "") for commitment, segment in pairs]


def _typical(x: Column, inputs: Sequence[Input]) -> Column:
    typical = reference_of(x)
    for j, one in enumerate(inputs):
        known = x[~np.isnan(x[:, j]), j]
        if one.levels and len(known):
            typical[j] = float(np.bincount(known.astype(np.int64)).argmax())
    return typical


def _nullable(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
