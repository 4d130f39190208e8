"""`tajdid churn evaluate` for an order history: who ordered what when, of any company.

The rows become the form of an order import and go through the source `orders` and the models of the warehouse
(`make_snapshots`, given by the front door), so that features are written once, in dbt. What is decided here:
how an event file becomes orders, which features its columns allow, which days are tested, what is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from churn_model import appraisal, candidates, protocol, report
from churn_model.calibration import a_year_before
from churn_model.dataset import Feature, Panel, features_of, panel_of
from churn_model.description import Description, DescriptionError, read_table, require_columns
from churn_model.matrix import as_texts, numbers
from churn_model.result import Result, TooLittleData

FORM = {
    "customer_id": "customer_id",
    "invoice_ts": "ordered_at",
    "amount": "unit_price",
    "quantity": "quantity",
    "sku": "sku",
    "country": "country",
    "invoice_id": "order_id",
}
"""Names of a description: names of an order import."""
NO_SKU = "all"
CAPACITY = 50
"""Customers a team can call in a week."""
COUNTED = (
    ("rows_read", "Rows read", "الصفوف المقروءة"),
    ("rows_set_aside", "Rows set aside", "الصفوف المستبعدة"),
    ("customers", "Customers at risk on some day", "عملاء كانوا معرضين للخطر في يوم ما"),
    ("snapshots", "Days looked at", "الأيام المرصودة"),
    ("panel_rows", "Customers × days", "عملاء × أيام"),
)

MakeSnapshots = Callable[..., Any]
"""pipelines.order_snapshots.order_snapshots, or what gives the same: rows and settings in, snapshots out."""


def form_of(frame: pl.DataFrame, columns: Mapping[str, Any]) -> pl.DataFrame:
    """An event file as an order import: one row a line, quantity 1 unless a column says it, the amount as the
    price of one.

    columns: those of a description. Which rows are credit notes says its is_credit, else the sign of the
    amount. Without invoice_id each row is an order.
    """
    named = [ours for ours in FORM if columns.get(ours) is not None]
    picked = frame.select(pl.col(columns[ours]).alias(FORM[ours]) for ours in named)
    texts = ("customer_id", "sku", "country", "order_id")
    rows = picked.with_columns(as_texts(picked[name]) for name in picked.columns if name in texts)
    if rows["ordered_at"].dtype.is_integer():  # days such as 20250131, which date_format explains
        rows = rows.with_columns(pl.col("ordered_at").cast(pl.String))
    if "quantity" not in named:
        rows = rows.with_columns(quantity=pl.lit(1))
    rows = rows.with_columns(is_credit=_is_credit(frame, columns))
    if "sku" not in named:
        rows = rows.with_columns(sku=pl.lit(NO_SKU))
    if "invoice_id" not in named:
        return rows.with_columns(order_id=pl.row_index().cast(pl.String))
    if columns.get("is_credit") is not None:
        return rows
    # what an invoice gives back is a credit note of its own
    mark = pl.when(pl.col("is_credit")).then(pl.lit("|credit")).otherwise(pl.lit(""))
    return rows.with_columns(order_id=pl.col("order_id") + mark)


def _is_credit(frame: pl.DataFrame, columns: Mapping[str, Any]) -> pl.Series:
    rule = columns.get("is_credit") or {"amount_below": 0.0}
    if isinstance(rule, str):
        said = pl.col(rule)
    elif "starts_with" in rule:
        said = pl.col(rule["column"]).cast(pl.String).str.starts_with(rule["starts_with"]).fill_null(False)
    else:
        parts = [columns[name] for name in ("amount", "quantity") if columns.get(name) is not None]
        amount = pl.fold(
            pl.lit(1.0), lambda product, one: product * one, pl.col(parts).cast(pl.Float64, strict=False)
        )
        said = (amount < rule["amount_below"]).fill_null(False)
    return frame.select(said.alias("is_credit")).to_series()


def features_for(columns: Mapping[str, Any]) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """The features that the file's columns allow, and the names of those they do not."""
    usable = tuple(feature for feature in features_of() if not feature.needs or columns.get(feature.needs))
    return usable, tuple(feature.name for feature in features_of() if feature not in usable)


def evaluate_events(
    description: Description,
    *,
    make_snapshots: MakeSnapshots,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Run the protocol on an event file.

    Raises DescriptionError, TooLittleData, and what make_snapshots raises where no row can be used.
    """
    frame = read_table(description)
    require_columns(description, frame)
    asked = dict(description.protocol)
    rows = form_of(frame, description.columns)
    progress(f"churn: {rows.height:,} rows into a throw-away warehouse")
    made = make_snapshots(
        rows,
        {} if description.date_format is None else {"date": description.date_format},
        horizon_days=asked["horizon_days"],
        active_days=asked["active_days"],
        first_snapshot=asked["first_snapshot"],
        step_days=None if asked["snapshot_step"] == "month" else asked["snapshot_step"],
        also_on=asked["test_dates"],
    )
    features, left_out = features_for(description.columns)
    panel = panel_of(made.frame, features, asked["horizon_days"])
    tests = tested_days(panel, asked["test_dates"], made.last_on, asked["min_events"])
    if asked["season"] is None:
        asked["season"] = all(a_year_before(panel, day) is not None for day in tests)
    asked["test_dates"] = [str(day + timedelta(days=1)) for day in tests]
    names = [feature.name for feature in features]
    evaluation = protocol.evaluate(
        panel,
        names,
        made.last_on,
        test_dates=tests,
        min_events=asked["min_events"],
        with_season=asked["season"],
        with_interactions=True,
        progress=progress,
    )
    counts = {
        "rows_read": made.rows_read,
        "rows_set_aside": made.rows_rejected,
        "set_aside_by_reason": dict(made.rejects),
        "first_day": str(made.first_on),
        "last_day": str(made.last_on),
        "snapshots": panel.as_of.n_unique(),
        "panel_rows": panel.frame.height,
        "customers": panel.frame["customer_id"].n_unique(),
    }
    figures = [_figure(figure) for figure in evaluation.figures]
    summary = summary_of(evaluation)
    return Result(
        judged=evaluation.champion,
        figures=figures,
        metrics={
            "kind": "events",
            "protocol": asked,
            "data": counts,
            "features": names,
            "features_left_out": list(left_out),
            **summary,
        },
        predictions=predictions_of(panel, names, evaluation, with_season=asked["season"]),
        document=_document(panel, features, evaluation, figures, summary, counts, asked),
    )


def _figure(figure: protocol.Figure) -> dict[str, Any]:
    row = asdict(figure)
    test_date = row.pop("test_date")
    return row | {"split": None if test_date is None else str(test_date)}


def _document(
    panel: Panel,
    features: Sequence[Feature],
    evaluation: protocol.Evaluation,
    figures: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    counts: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """The report's document: see report.py."""
    tests = evaluation.test_dates
    by_day = evaluation.predictions[evaluation.champion]
    last = tests[-1]
    known = panel.closed_by(last)
    document = {
        "form": report.FORM,
        "version": report.VERSION,
        "kind": "events",
        "champion": evaluation.champion,
        "headline": "leak" if evaluation.leak_alarms else summary["headline"],
        "figures": [*figures, *(_figure(one) | {"role": "origin"} for one in evaluation.origin_figures)],
        "rules": list(protocol.RULES),
        "counts": [
            {"what": {"en": english, "ar": arabic}, "rows": counts[name]} for name, english, arabic in COUNTED
        ],
        "cohorts": [
            {"as_of": str(day), "customers": customers, "left": left}
            for day, customers, left in panel.closed_by(max(panel.as_of.to_list()))
            .frame.group_by("as_of")
            .agg(pl.len(), pl.col("churned_90").cast(pl.Int64).sum())
            .sort("as_of")
            .iter_rows()
        ],
        "choice": {"origins": summary["origins"], "log_loss": summary["origin_log_loss"]},
        "leak": {
            "gap": evaluation.leak_gap,
            "alarms": list(evaluation.leak_alarms),
            "temporal_auc": protocol.mean_figure(evaluation.figures, evaluation.champion, "auc"),
        },
        "card": {
            "horizon_days": asked["horizon_days"],
            "active_days": asked["active_days"],
            "trained_from": str(known.as_of.min()),
            "trained_to": str(known.as_of.max()),
            "training_rows": len(known.y),
            "training_customers": known.frame["customer_id"].n_unique(),
            "training_events": protocol.leavers(known),
            "features": [{"name": feature.name, "label": report.label_of(feature)} for feature in features],
            "known_day_assumed": True,
        },
    }
    judged = appraisal.Judged(
        y=np.concatenate([panel.on(day).y for day in tests]),
        p=np.concatenate([by_day[day].p for day in tests]),
        horizon_days=panel.horizon_days,
    )
    newest = appraisal.Judged(y=panel.on(last).y, p=by_day[last].p, horizon_days=panel.horizon_days)
    return document | appraisal.parts_of(judged, newest, CAPACITY)


def tested_days(panel: Panel, test_dates: Sequence[date], last_on: date, min_events: int) -> list[date]:
    """As-of days of the test dates, the last two closed where none are given.

    Raises DescriptionError where one is not closed or nobody is at risk on it, TooLittleData where the
    history is too short.
    """
    if panel.frame.is_empty():
        raise TooLittleData(
            f"No snapshot has customers at risk by {last_on}, the last day of the data. The first snapshot "
            "is 120 days after the first order, unless first_snapshot says another day."
        )
    protocol.require_enough(panel, last_on, min_events)
    if not test_dates:
        return protocol.default_test_dates(panel, last_on)
    there = set(panel.as_of.unique())
    for test_date in test_dates:
        day = test_date - timedelta(days=1)
        closes = day + timedelta(days=panel.horizon_days)
        if closes > last_on:
            raise DescriptionError(
                f"[protocol] test date {test_date}: its {panel.horizon_days} days end on {closes}, but the "
                f"data ends on {last_on}. The last test date possible is "
                f"{last_on - timedelta(days=panel.horizon_days - 1)}."
            )
        if day not in there:
            raise DescriptionError(f"[protocol] test date {test_date}: no customer is at risk then.")
    return [test_date - timedelta(days=1) for test_date in test_dates]


def predictions_of(
    panel: Panel, names: Sequence[str], evaluation: protocol.Evaluation, *, with_season: bool
) -> pl.DataFrame:
    """One row per test date × customer: label, what each candidate says (p_, of rules that only rank score_),
    and the champion's logit taken apart: base_logit + season_offset + its contributions."""
    frames = []
    for day in evaluation.test_dates:
        known, now = panel.closed_by(day), panel.on(day)
        slope = evaluation.slopes.get(day, 1.0)
        model = candidates.fit(
            evaluation.champion, known.x, known.y.astype(bool), numbers(names), knots=protocol.KNOTS
        )
        target = protocol.season_target(panel, day, with_season=with_season)
        offset = protocol.season_offset(slope * model.logit(now.x), target)
        parts = slope * model.contributions(now.x)
        said = {
            f"{'p' if by_day[day].is_probability else 'score'}_{name}": by_day[day].p
            for name, by_day in evaluation.predictions.items()
        }
        frames.append(
            pl.DataFrame(
                {
                    "customer_id": now.frame["customer_id"],
                    "as_of": now.frame["as_of"],
                    "test_date": [day + timedelta(days=1)] * len(now.y),
                    "left": now.y.astype(bool),
                    **said,
                    "p": evaluation.predictions[evaluation.champion][day].p,
                    "base_logit": np.full(len(now.y), slope * candidates.expected_of(model)),
                    "season_offset": np.full(len(now.y), offset),
                    **{f"contribution_{name}": parts[:, j] for j, name in enumerate(names)},
                }
            )
        )
    return pl.concat(frames)


def summary_of(evaluation: protocol.Evaluation) -> dict[str, Any]:
    """Who won, by how much, how it was chosen, and the warnings."""

    def mean(name: str, metric: str) -> float:
        return protocol.mean_figure(evaluation.figures, name, metric)

    champion = evaluation.champion
    best_rule = max(mean("recency_rule", "auc"), mean("points_score", "auc"))
    wins = mean(champion, "auc") >= best_rule and mean(champion, "log_loss") <= mean("base_rate", "log_loss")
    return {
        "champion": champion,
        "headline": "model_wins" if wins else "rule_wins",
        "origins": [str(day) for day in evaluation.origins],
        "origin_log_loss": dict(evaluation.origin_log_loss),
        "calibration_slopes": {str(day): slope for day, slope in evaluation.slopes.items()},
        "gains": [asdict(gain) for gain in evaluation.gains],
        "came_back": [
            {"from_day": start, "to_day": end, "customers": customers}
            for start, end, customers in evaluation.lead_times
        ],
        "leak_gap": evaluation.leak_gap,
        "leak_alarms": list(evaluation.leak_alarms),
    }
