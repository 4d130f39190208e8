"""The parts of an evaluation report that follow from predictions beside what happened, whoever predicted.

Takes the champion's probabilities on test rows (`Judged`) and gives plain numbers in the form of `report`:
curves, reliability by group, the week's list, lead times, subgroups, who was caught and who missed, the
shapes of the model's functions. Nothing is fitted here and nothing is chosen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn_model import metrics
from churn_model.dataset import Panel
from churn_model.effects import Z, wilson
from churn_model.monitoring import auc_with_error, ratio

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]

DEPTHS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the ranked list at which gain and lift are told."""

CURVE_POINTS = 60
FIRST_DAYS = 7
"""Who leaves within so many days could not have been helped by a list of that day."""
LEAD_BINS = ((0, 7), (8, 30), (31, 60), (61, 90), (91, 180), (181, 365))
FEW = 10
"""With fewer leavers or stayers than this a subgroup gets no AUC."""
SHOWN = 10


@dataclass(frozen=True)
class Judged:
    """Test rows, in one order. `y`: 1 left within the horizon, 0 stayed; `p`: the champion's probability.

    groups: a value per row (None: unknown) for each way to split, e.g. commitment_class, auto_renew, segment.
    revenue_minor, currency: the yearly revenue of the row. days_to_event: days from as-of day to the end, NaN
    where none is known; observed_days: how long the row was observed. Both only where an end has a day.
    """

    y: Column
    p: Column
    groups: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    revenue_minor: Column | None = None
    currency: Sequence[str] | None = None
    days_to_event: Column | None = None
    observed_days: Column | None = None
    horizon_days: int = 90


def parts_of(judged: Judged, last: Judged, capacity: int) -> dict[str, Any]:
    """Everything that the rows allow: `judged` holds the rows of all test dates, `last` of the newest
    alone."""
    parts: dict[str, Any] = {
        "curves": curves(judged),
        "reliability": reliability(judged),
        "weekly_list": weekly_list(last, capacity),
    }
    groups = subgroups(judged)
    if groups:
        parts["subgroups"] = groups
    if judged.days_to_event is not None:
        parts["lead_times"] = lead_times(judged)
    return parts


# Ranking.


def curves(judged: Judged) -> dict[str, Any]:
    """Precision and recall, and at each depth of the list the share of leavers in it (gain), how many times
    the base rate (lift) and, where revenue is given, the share of lost revenue in the top by p x revenue."""
    y, p = judged.y, judged.p
    found: dict[str, Any] = {"precision_recall": precision_recall(y, p)}
    if y.any():
        found["gain"] = gain(y, p)
        found["lift"] = [[depth, share / depth] for depth, share in found["gain"]]
    if judged.revenue_minor is not None and judged.currency is not None:
        code = Counter(judged.currency).most_common(1)[0][0]
        own = np.array([other == code for other in judged.currency])
        revenue = np.maximum(judged.revenue_minor[own], 0)
        if (revenue * y[own]).sum() > 0:
            found["gain_revenue"] = gain(y[own] * revenue, p[own] * revenue)
            found["revenue_currency"] = code
    return found


def precision_recall(y: Column, p: Column) -> list[list[float]]:
    """(recall, precision) at distinct scores from the highest, at most 60 points; empty where nobody left."""
    if not y.any():
        return []
    order = np.argsort(-p, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(p[order]) < 0, True])
    left = np.cumsum(y[order])[ends]
    kept = np.unique(np.linspace(0, len(ends) - 1, CURVE_POINTS).round().astype(np.int64))
    recall, precision = left / left[-1], left / (ends + 1)
    return [[float(recall[k]), float(precision[k])] for k in kept]


def gain(weight: Column, score: Column) -> list[list[float]]:
    """(depth, share of all weight) in the top of the list by score; at least one row is listed."""
    ranked = np.cumsum(weight[np.argsort(-score, kind="stable")])
    tops = [max(1, round(depth * len(score))) for depth in DEPTHS]
    return [[depth, float(ranked[top - 1] / ranked[-1])] for depth, top in zip(DEPTHS, tops, strict=True)]


def weekly_list(last: Judged, capacity: int) -> dict[str, Any]:
    """Of the customers a team can call in a week, how many left: the precision with Wilson's interval."""
    top = np.argsort(-last.p, kind="stable")[:capacity]
    caught, listed = int(last.y[top].sum()), len(top)
    low, high = wilson(caught, listed)
    return {
        "capacity": capacity,
        "listed": listed,
        "caught": caught,
        "left": int(last.y.sum()),
        "customers": len(last.y),
        "precision": caught / listed,
        "low": low,
        "high": high,
    }


# Calibration and groups.


def reliability(judged: Judged) -> list[dict[str, Any]]:
    """Bins of equal count and ECE over all rows, then for each value of commitment_class and auto_renew."""
    everyone = np.ones(len(judged.y), dtype=np.bool_)
    splits: list[tuple[str, str | None, Mask]] = [("all", None, everyone)]
    splits += [
        (by, value, mask)
        for by in ("commitment_class", "auto_renew")
        for value, mask in _split(judged.groups.get(by, ()))
    ]
    return [
        {
            "by": by,
            "value": value,
            "customers": int(mask.sum()),
            "left": int(judged.y[mask].sum()),
            "ece": metrics.ece(judged.y[mask], judged.p[mask], _bins(int(mask.sum()))),
            "bins": [list(row) for row in _reliability(judged.y[mask], judged.p[mask])],
        }
        for by, value, mask in splits
        if mask.any()
    ]


def _reliability(y: Column, p: Column) -> list[tuple[int, float, float]]:
    return metrics.reliability(y, p, _bins(len(y)))


def _bins(rows: int) -> int:
    """15, and fewer for a small group: bins of under ten rows would show chance as error."""
    return max(1, min(metrics.BINS, rows // 10))


def _split(values: Sequence[str | None]) -> list[tuple[str, Mask]]:
    """Each value, the most frequent first, with its rows; unknown values are no group, and neither is one
    that all rows have."""
    counted = Counter(value for value in values if value is not None)
    if len(counted) == 1 and counted.total() == len(values):
        return []
    return [(value, np.array([other == value for other in values])) for value, _ in counted.most_common()]


def subgroups(judged: Judged) -> list[dict[str, Any]]:
    """For each value of each split: rows, leavers, mean p, AUC (DeLong) and observed / expected (Wilson)."""
    rows = []
    for by, values in judged.groups.items():
        for value, mask in _split(values):
            y, p = judged.y[mask], judged.p[mask]
            row: dict[str, Any] = {"by": by, "value": value, "customers": len(y), "left": int(y.sum())}
            row |= {"base_rate": float(y.mean()), "mean_p": float(p.mean())}
            if min(y.sum(), (1 - y).sum()) >= FEW:
                area, error = auc_with_error(y, p)
                row["auc"] = area
                if area is not None and error is not None:
                    row |= {"auc_low": max(0.0, area - Z * error), "auc_high": min(1.0, area + Z * error)}
            observed = ratio(y, p, "")
            if observed.value is not None:
                row |= {"ratio": observed.value, "ratio_low": observed.low, "ratio_high": observed.high}
                row["is_off"] = observed.is_over_limit
            rows.append(row)
    return rows


# Time to act.


def lead_times(judged: Judged) -> dict[str, Any]:
    """When leavers left, among all and among the riskiest tenth; and the figures for those who could be
    helped: rows that did not end in the first 7 days, label = ended on days 8 to horizon + 7, observed so
    long. Needs days_to_event."""
    days = judged.days_to_event
    assert days is not None
    top = np.zeros(len(days), dtype=bool)
    top[np.argsort(-judged.p, kind="stable")[: max(1, round(0.1 * len(days)))]] = True
    bins = []
    for first, past in LEAD_BINS:
        inside = (days >= first) & (days <= past)
        if first <= judged.horizon_days:
            bins.append(
                {
                    "from": first,
                    "to": min(past, judged.horizon_days),
                    "left": int((inside & (days <= judged.horizon_days)).sum()),
                    "listed": int((inside & top & (days <= judged.horizon_days)).sum()),
                }
            )
    caught = days[top & (days <= judged.horizon_days)]
    found: dict[str, Any] = {"bins": bins, "median_days": float(np.median(caught)) if len(caught) else None}
    until = judged.horizon_days + FIRST_DAYS
    observed = judged.observed_days if judged.observed_days is not None else np.full(len(days), math.inf)
    is_over = (days > FIRST_DAYS) & (days <= until)
    is_told = ~(days <= FIRST_DAYS) & (is_over | (observed >= until))
    y, p = is_over[is_told].astype(np.float64), judged.p[is_told]
    if 0 < y.sum() < len(y):
        found["after_first_week"] = {
            "from": FIRST_DAYS + 1,
            "to": until,
            "customers": len(y),
            "left": int(y.sum()),
            "auc": float(metrics.auc(y, p)[0]),
            "ap": float(metrics.average_precision(y, p)[0]),
            "lift_10": metrics.lift(y, p),
        }
    return found


# One list, customer by customer.


def last_list(
    last: Judged,
    customers: Sequence[str],
    reasons: Sequence[Sequence[tuple[str, str]]],
    capacity: int,
    as_of: str,
    closed_on: str,
) -> dict[str, Any]:
    """The list of the last closed test date: who was caught, missed, or listed and stayed, at most 10 of
    each.

    reasons: for each row its sentences, (English, Arabic), the strongest first. Listed are the `capacity`
    highest by p. The caught and the false alarms are shown from the highest p, the missed from the lowest:
    those are what the model understood least.
    """
    order = np.argsort(-last.p, kind="stable")
    told = _list_of(last, order, capacity, customers, reasons, as_of, closed_on)
    return {**told, "ranked_by": "probability"}


def _list_of(
    last: Judged,
    order: NDArray[np.int64],
    count: int,
    customers: Sequence[str],
    reasons: Sequence[Sequence[tuple[str, str]]],
    as_of: str,
    closed_on: str,
) -> dict[str, Any]:
    """The first `count` of an order are the list."""
    listed, others = order[:count], order[count:]
    others = others[np.argsort(-last.p[others], kind="stable")]
    left = last.y == 1
    shown = {
        "caught": [i for i in listed if left[i]],
        "false_alarms": [i for i in listed if not left[i]],
        "missed": [i for i in others[::-1] if left[i]],
    }
    return {
        "as_of": as_of,
        "closed_on": closed_on,
        "listed": len(listed),
        **{
            kind: {
                "customers": len(rows),
                "rows": [_listed(last, customers, reasons, int(i)) for i in rows[:SHOWN]],
            }
            for kind, rows in shown.items()
        },
    }


def list_given(given: pl.DataFrame, closed_on: str) -> dict[str, Any]:
    """The list that a team was really given, with the reasons it was given, beside what happened.

    given: rows of churn_scores of one model and day with a column left: customer_id, as_of, p_90,
    band_capacity (on the list), currency, yearly_revenue_minor or mrr_minor, left, and where they are at hand
    reason_1 to reason_3. Rows without a known outcome are left out."""
    known = given.filter(pl.col("left").is_not_null() & pl.col("p_90").is_not_null()).sort(
        pl.col("band_capacity").fill_null(False), "p_90", "customer_id", descending=[True, True, False]
    )
    frame = known.with_columns(
        trailing_revenue_minor=pl.coalesce(
            pl.col(name) * times
            for name, times in (("yearly_revenue_minor", 1), ("mrr_minor", 12))
            if name in known.columns
        )
    )
    judged = judged_rows(
        frame, known["left"].cast(pl.Float64).to_numpy(), known["p_90"].to_numpy(), horizon_days=90
    )
    reasons = [
        [(reason["sentence_en"], reason["sentence_ar"]) for reason in row if reason]
        for row in known.select(pl.col("^reason_[123]$"), told=None).rows()
    ]
    listed = int(known["band_capacity"].fill_null(False).sum())
    names = known["customer_id"].cast(pl.String).to_list()
    as_of = str(known["as_of"][0])
    told = _list_of(judged, np.arange(known.height), listed, names, reasons, as_of, closed_on)
    return {**told, "ranked_by": "value"}


def _listed(
    last: Judged, customers: Sequence[str], reasons: Sequence[Sequence[tuple[str, str]]], i: int
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "customer_id": customers[i],
        "p": float(last.p[i]),
        "reasons": [{"en": english, "ar": arabic} for english, arabic in reasons[i][:3]],
    }
    if last.revenue_minor is not None and last.currency is not None:
        row |= {"revenue_minor": int(last.revenue_minor[i]), "currency": last.currency[i]}
    if last.days_to_event is not None and not math.isnan(last.days_to_event[i]):
        row["days_to_event"] = int(last.days_to_event[i])
    return row


# The rows of an evaluation by the protocol.

SPLITS = (
    "commitment_class",
    "auto_renew",
    "segment",
    "country_group",
    "acquisition_channel",
    "no_usage_feed",
)
TENURE_BANDS = ((180, "under_180"), (365, "180_to_364"), (math.inf, "from_365"))


def judged_rows(frame: pl.DataFrame, y: Column, p: Column, horizon_days: int) -> Judged:
    """Test rows as `Judged`, from rows of fct_customer_snapshots or fct_account_snapshots in the order of y
    and p.

    Groups are the columns of `SPLITS` there are, tenure, and revenue (its top quarter). Revenue is
    trailing_revenue_minor, else 12 x mrr_minor. The day of an end is ended_on, where there is such a column.
    """
    groups: dict[str, list[str | None]] = {
        name: frame[name].cast(pl.String).to_list() for name in SPLITS if name in frame.columns
    }
    if "tenure_days" in frame.columns:
        groups["tenure_band"] = [_tenure_band(days) for days in frame["tenure_days"].to_list()]
    revenue = _revenue(frame)
    currency = frame["currency"].fill_null("").to_list() if "currency" in frame.columns else None
    if revenue is not None and len(revenue):
        top = np.quantile(revenue, 0.75)
        groups["value_tier"] = ["top" if value > top else "other" for value in revenue]
    days = observed = None
    if "ended_on" in frame.columns:
        days = _days_between(frame, "ended_on")
        observed = _days_between(frame, "observed_until") if "observed_until" in frame.columns else None
        days = np.where(y == 1, days, np.where(days <= horizon_days, np.nan, days))
    return Judged(y, p, groups, revenue, currency, days, observed, horizon_days)


def _tenure_band(days: float | None) -> str | None:
    return None if days is None else next(name for bound, name in TENURE_BANDS if days < bound)


def _revenue(frame: pl.DataFrame) -> Column | None:
    for column, times in (("trailing_revenue_minor", 1.0), ("mrr_minor", 12.0)):
        if column in frame.columns:
            return np.asarray(frame[column].cast(pl.Float64).fill_null(0.0).to_numpy() * times)
    return None


def _days_between(frame: pl.DataFrame, column: str) -> Column:
    days = frame.select((pl.col(column) - pl.col("as_of")).dt.total_days().cast(pl.Float64)).to_series()
    return np.asarray(days.fill_null(float("nan")).to_numpy())


def cohorts(panel: Panel, horizon_days: int) -> list[dict[str, Any]]:
    """For each day whose labels are known: customers at risk and leavers; of accounts also the leavers by
    cause, and those that ended within the horizon and were back within 30 days, who are no leavers."""
    frame = panel.frame.with_columns(y=pl.Series(panel.y).fill_nan(None)).filter(pl.col("y").is_not_null())
    has_left = pl.col("y") == 1
    counts = [pl.len().alias("customers"), has_left.sum().alias("left")]
    if {"ended_cause", "ended_on", "returned_within_30"} <= set(frame.columns):
        within = (pl.col("ended_on") - pl.col("as_of")).dt.total_days() <= horizon_days
        counts += [
            (has_left & (pl.col("ended_cause") == "voluntary")).sum().alias("voluntary"),
            (has_left & (pl.col("ended_cause") == "involuntary")).sum().alias("involuntary"),
            (within & pl.col("returned_within_30")).sum().alias("returned"),
        ]
    rows = frame.group_by("as_of").agg(counts).sort("as_of").to_dicts()
    return [{**row, "as_of": str(row["as_of"])} for row in rows]


def evaluation_parts(
    panel: Panel,
    predictions: Mapping[date, Column],
    capacity: int,
    horizon_days: int,
    reasons: Sequence[Sequence[tuple[str, str]]] | None = None,
    closes_after: int = 0,
) -> dict[str, Any]:
    """Every part that an evaluation's rows allow.

    predictions: the champion's p on each test date, in the order of `panel.on(day)`. reasons: of each row of
    the newest test date its sentences (English, Arabic), given by the model that predicted it; without them
    the list tells who was caught and missed, and not why. closes_after: days after the horizon until a label
    counts."""
    days = sorted(predictions)
    rows = [panel.on(day) for day in days]
    frame, y = pl.concat([part.frame for part in rows]), np.concatenate([part.y for part in rows])
    judged = judged_rows(frame, y, np.concatenate([predictions[day] for day in days]), horizon_days)
    newest = rows[-1]
    last = judged_rows(newest.frame, newest.y, predictions[days[-1]], horizon_days)
    closed_on = days[-1] + timedelta(days=horizon_days + closes_after)
    names = newest.frame["customer_id"].cast(pl.String).to_list()
    told = reasons if reasons is not None else [[] for _ in names]
    return {
        **parts_of(judged, last, capacity),
        "cohorts": cohorts(panel, horizon_days),
        "last_list": last_list(last, names, told, capacity, str(days[-1]), str(closed_on)),
    }
