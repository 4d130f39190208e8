"""Evaluation of a flat table: one row a customer, a label and no dates, judged on stratified folds.

A yardstick for the method and no evidence for a company's future: without dates nothing shows that a column
was known before the label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn_model import folds as of_folds
from churn_model import metrics
from churn_model.candidates import CANDIDATES, expected_of, fit
from churn_model.description import Description, is_positive, read_table, require_columns
from churn_model.folds import CHAMPION, Measured, column_rule, figures_of, mean_of, most_chosen
from churn_model.judging import document_of, kept_of, require_enough, shapes_of
from churn_model.matrix import Column, Input
from churn_model.model import sigmoid
from churn_model.nested import Trained, train
from churn_model.preparation import Count, prepare, units_of
from churn_model.result import Result

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
RULES = ("base_rate", "one_column_rule")


@dataclass(frozen=True)
class Table:
    """Rows that are judged: the frame they came from, what is read of them, and what was decided."""

    frame: pl.DataFrame
    inputs: tuple[Input, ...]
    x: Column
    y: Mask
    groups: NDArray[Any] | None
    counts: tuple[Count, ...]


@dataclass(frozen=True)
class Fold:
    """What every candidate and rule says of the test rows of one fold. `p` of a rule without probabilities is
    a ranking; base + contributions = logit of the champion's p."""

    rows: Places
    p: Mapping[str, Column]
    trained: Trained
    base: float
    contributions: Column


def evaluate_flat(description: Description, say: Callable[[str], None]) -> Result:
    """Run the protocol on a flat table. Raises DescriptionError and TooLittleData."""
    table = read_flat(description)
    seed, number = description.protocol["seed"], description.protocol["folds"]
    require_enough(table.y, description.protocol["min_events"], number)
    units = np.arange(len(table.y)) if table.groups is None else table.groups
    done = []
    parts = of_folds.split(table.y, table.groups, number, seed, stratified=True)
    for place, (known, judged) in enumerate(parts):
        say(f"fold {place + 1} of {number}: {len(known):,} rows to learn from, {len(judged):,} to judge")
        done.append(_fold(table, known, judged, units, seed))
    figures = [row for name in (*RULES, *CANDIDATES, CHAMPION) for row in _figures(table, done, units, name)]
    return _result(description, table, done, figures)


def read_flat(description: Description) -> Table:
    """The rows of the file: duplicates and rows without a label left out and counted."""
    frame = read_table(description)
    require_columns(description, frame)
    columns = description.columns
    counts = [Count("rows_read", "Rows read", "صفوف قُرئت", frame.height)]
    if description.protocol["drop_duplicates"]:
        kept = frame.unique(maintain_order=True)
        counts.append(
            Count(
                "duplicates_dropped",
                "Exact duplicate rows dropped",
                "صفوف مكررة حُذفت",
                frame.height - kept.height,
            )
        )
        frame = kept
    label = is_positive(description, frame[columns["label"]], "label")
    is_known = label.is_not_null()
    counts.append(
        Count(
            "without_label_dropped",
            "Rows without a label dropped",
            "صفوف بلا نتيجة حُذفت",
            int((~is_known).sum()),
        )
    )
    frame = frame.filter(is_known)
    taken = [columns["label"], *columns["drop"]] + [columns[k] for k in ("id", "group") if columns[k]]
    prepared = prepare(frame, taken, columns["categorical"], description.date_format)
    return Table(
        frame=frame,
        inputs=prepared.inputs,
        x=prepared.x,
        y=label.drop_nulls().to_numpy().astype(bool),
        groups=None if columns["group"] is None else units_of(frame, columns["group"]),
        counts=(*counts, *prepared.counts),
    )


def _fold(table: Table, known: Places, judged: Places, units: NDArray[Any], seed: int) -> Fold:
    x, y = table.x[known], table.y[known]
    trained = train(x, y, table.inputs, units[known], seed)
    new = table.x[judged]
    p = {
        "base_rate": np.full(len(judged), float(y.mean())),
        "one_column_rule": column_rule(x, y, table.inputs).risk(new),
        **{name: sigmoid(trained.logit(name, new)) for name in CANDIDATES},
    }
    p[CHAMPION] = p[trained.champion]
    own, model = trained.sigmoids[trained.champion], trained.models[trained.champion]
    return Fold(
        rows=judged,
        p=p,
        trained=trained,
        base=own.offset + own.slope * expected_of(model),
        contributions=own.slope * model.contributions(new),
    )


def _figures(table: Table, done: Sequence[Fold], units: NDArray[Any], name: str) -> list[dict[str, Any]]:
    measured = [_measured(table.y[fold.rows], fold.p[name], units[fold.rows], name) for fold in done]
    rates = [float(table.y[fold.rows].mean()) for fold in done]
    return figures_of(name, measured, [len(fold.rows) for fold in done], rates)


def _measured(y: Mask, p: Column, units: NDArray[Any], name: str) -> dict[str, Measured]:
    labels, weights = y.astype(np.float64), of_folds.weights_of(units, 0)
    found = {
        "auc": Measured(float(metrics.auc(labels, p)[0]), metrics.auc(labels, p, weights)),
        "ap": Measured(
            float(metrics.average_precision(labels, p)[0]), metrics.average_precision(labels, p, weights)
        ),
    }
    if name != "base_rate":
        found["lift_10"] = Measured(metrics.lift(labels, p))
    if name != "one_column_rule":
        found["brier"] = Measured(float(metrics.brier(labels, p)[0]), metrics.brier(labels, p, weights))
        found["log_loss"] = Measured(float(metrics.log_losses(labels, p).mean()))
        found["ece"] = Measured(metrics.ece(labels, p))
    return found


def _result(
    description: Description, table: Table, done: Sequence[Fold], figures: list[dict[str, Any]]
) -> Result:
    champion = most_chosen([fold.trained.champion for fold in done], CANDIDATES)
    alarms = of_folds.leak_alarms(table.x, table.y, table.inputs)
    better_rule = mean_of(figures, CHAMPION, "auc") < max(mean_of(figures, rule, "auc") for rule in RULES)
    worse_loss = mean_of(figures, CHAMPION, "log_loss") > mean_of(figures, "base_rate", "log_loss")
    leak = _leak(description, table, champion, mean_of(figures, CHAMPION, "auc"))
    kept = kept_of(
        description,
        inputs=table.inputs,
        counts=table.counts,
        trained=[fold.trained for fold in done],
        champion=champion,
        headline="leak" if alarms else "rule_wins" if better_rule or worse_loss else "model_wins",
        leak={**leak, "alarms": list(alarms)},
        rows=len(table.y),
        events=int(table.y.sum()),
    )
    order = np.argsort(np.concatenate([fold.rows for fold in done]), kind="stable")
    y = table.y[np.concatenate([fold.rows for fold in done])].astype(np.float64)
    p = np.concatenate([fold.p[CHAMPION] for fold in done])
    return Result(
        judged=CHAMPION,
        figures=figures,
        metrics=kept,
        predictions=pl.concat([_predictions(description, table, done, k) for k in range(len(done))])[order],
        document=document_of(
            description,
            kept,
            figures,
            RULES,
            shapes_of(done[-1].trained.models[champion], table.x, table.inputs),
            judged=(y[order], p[order]),
        ),
    )


def _leak(description: Description, table: Table, champion: str, judged: float) -> dict[str, Any]:
    """With groups: what folds that tear groups apart would show, beside the figure."""
    if table.groups is None:
        return {}
    number, seed = description.protocol["folds"], description.protocol["seed"]
    areas = []
    for known, test in of_folds.split(table.y, None, number, seed, stratified=True):
        model = fit(champion, table.x[known], table.y[known], table.inputs)
        areas.append(float(metrics.auc(table.y[test].astype(np.float64), model.logit(table.x[test]))[0]))
    torn = float(np.mean(areas))
    return {"random_auc": torn, "temporal_auc": judged, "gap": torn - judged}


def _predictions(description: Description, table: Table, done: Sequence[Fold], place: int) -> pl.DataFrame:
    """Row key (the id and the row's number in what was judged), fold, label, p of each candidate, then the
    champion's base and contributions, which sum to the logit of its p."""
    fold = done[place]
    columns: dict[str, Any] = {"row": fold.rows}
    if description.columns["id"] is not None:
        columns["id"] = table.frame[description.columns["id"]].gather(fold.rows)
    columns |= {"fold": np.full(len(fold.rows), place + 1), "label": table.y[fold.rows]}
    columns |= {f"p_{name}": fold.p[name] for name in ("base_rate", *CANDIDATES, CHAMPION)}
    columns["rank_one_column_rule"] = fold.p["one_column_rule"]
    columns["champion"] = [fold.trained.champion] * len(fold.rows)
    columns["base"] = np.full(len(fold.rows), fold.base)
    columns |= {f"contribution_{one.name}": fold.contributions[:, j] for j, one in enumerate(table.inputs)}
    return pl.DataFrame(columns)
