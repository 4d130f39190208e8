"""Evaluation of a time-to-event table: one row a customer, how long it was there, and whether it left.

The same hazards as of contracts, with one cause and the table's own steps: a row per customer and step still
at risk, one model of the log-odds to leave in it. Curves are judged on folds of customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from churn_model import folds as of_folds
from churn_model import survival_metrics as sm
from churn_model.candidates import CANDIDATES, expected_of
from churn_model.description import (
    Description,
    DescriptionError,
    is_positive,
    read_table,
    require_columns,
)
from churn_model.folds import CHAMPION, Measured, column_rule, figures_of, mean_of, most_chosen
from churn_model.hazard import HazardModel, HazardPanel, expand, timing_of
from churn_model.judging import document_of, kept_of, require_enough, shapes_of
from churn_model.matrix import Column, Input, as_texts
from churn_model.nested import Trained, train
from churn_model.preparation import Count, prepare, units_of
from churn_model.result import Result

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
RULES = ("kaplan_meier", "one_column_rule")
CAUSE = "left"
TIME_STEP = "step"
MOST_STEPS = 60
FEWER_STEPS = 50
WATCHED_SHARE = 0.05
"""Without max_time curves end where fewer than this share of the customers is still watched."""


@dataclass(frozen=True)
class Table:
    """Rows that are judged. time, entry: shape rows, in the table's unit; event: left at `time`; cuts: the
    ends of the steps."""

    frame: pl.DataFrame
    inputs: tuple[Input, ...]
    x: Column
    time: Column
    event: Mask
    entry: Column
    cuts: tuple[float, ...]
    groups: NDArray[Any] | None
    counts: tuple[Count, ...]

    def panel(self, rows: Places) -> HazardPanel:
        """Rows as the hazards read them. A step counts for who left in it, for others once it has ended."""
        time, event = self.time[rows], self.event[rows]
        return HazardPanel(
            x=self.x[rows],
            inputs=self.inputs,
            days_to_event=np.where(event, time, np.nan),
            cause=np.where(event, CAUSE, ""),
            observed_days=np.where(event, np.inf, time),
            decision_days=None,
            as_of=None,
            customer_id=rows,
            entry_days=self.entry[rows],
        )


@dataclass(frozen=True)
class Fold:
    """What every candidate says of the test rows of one fold: survival, rows x cuts. `ranking`: of the rule
    that gives no curve. base + contributions = log-odds of leaving in the first step, of the champion."""

    rows: Places
    survival: Mapping[str, Column]
    ranking: Column
    watched: sm.Watched
    trained: Trained
    base: float
    contributions: Column


def evaluate_survival(description: Description, say: Callable[[str], None]) -> Result:
    """Run the protocol on a time-to-event table. Raises DescriptionError and TooLittleData."""
    table = read_survival(description)
    seed, number = description.protocol["seed"], description.protocol["folds"]
    require_enough(table.event, description.protocol["min_events"], number)
    times = _auc_times(description, table.cuts)
    units = np.arange(len(table.event)) if table.groups is None else table.groups
    done = []
    parts = of_folds.split(table.event, table.groups, number, seed, stratified=False)
    for place, (known, judged) in enumerate(parts):
        say(f"fold {place + 1} of {number}: {len(known):,} customers to learn from, {len(judged):,} to judge")
        done.append(_fold(table, known, judged, units, seed))
    names = (*RULES, *CANDIDATES, CHAMPION)
    figures = [row for name in names for row in _figures(table, done, name, times)]
    return _result(description, table, done, figures)


# Reading.


def read_survival(description: Description) -> Table:
    """The rows of the file: those without time or event, or with no time in which they were watched, left out
    and counted."""
    frame = read_table(description)
    require_columns(description, frame)
    columns = description.columns
    counts = [Count("rows_read", "Rows read", "صفوف قُرئت", frame.height)]
    event = is_positive(description, frame[columns["event"]], "event")
    time = _times(description, frame, "time")
    entry = _times(description, frame, "entry") if columns["entry"] else time * 0.0
    is_known = event.is_not_null() & time.is_not_null() & entry.is_not_null()
    counts.append(
        Count(
            "without_outcome_dropped",
            "Rows without time, event or entry dropped",
            "صفوف بلا مدة أو نتيجة أو بداية حُذفت",
            int((~is_known).sum()),
        )
    )
    is_watched = ((time > 0) & (time > entry)).fill_null(value=False)
    counts.append(
        Count(
            "without_time_dropped",
            "Rows dropped whose time is not above 0 and above their entry",
            "صفوف حُذفت لأن مدتها ليست أكبر من صفر ومن بدايتها",
            int((is_known & ~is_watched).sum()),
        )
    )
    kept = is_known & is_watched
    if not kept.any():
        raise DescriptionError(f"{description.file} has no row with a time above 0 and a known event")
    frame = frame.filter(kept)
    taken = [columns["time"], columns["event"], *columns["drop"]]
    taken += [columns[key] for key in ("id", "group", "entry") if columns[key]]
    prepared = prepare(frame, taken, columns["categorical"], description.date_format)
    if any(one.name == TIME_STEP for one in prepared.inputs):
        raise DescriptionError(
            f"{description.path}: a column may not be called {TIME_STEP!r}, which means the step of time "
            "here; give it another name in [rename]"
        )
    times = time.filter(kept).to_numpy().astype(np.float64)
    events = event.filter(kept).to_numpy().astype(bool)
    cuts, of_cuts = _cuts(description, times, events)
    return Table(
        frame=frame,
        inputs=prepared.inputs,
        x=prepared.x,
        time=times,
        event=events,
        entry=entry.filter(kept).to_numpy().astype(np.float64),
        cuts=cuts,
        groups=None if columns["group"] is None else units_of(frame, columns["group"]),
        counts=(*counts, *of_cuts, *prepared.counts),
    )


def _times(description: Description, frame: pl.DataFrame, key: str) -> pl.Series:
    """A column of times as finite numbers, null where it has none."""
    name = description.columns[key]
    texts = as_texts(frame[name])
    values = texts.cast(pl.Float64, strict=False)
    if values.null_count() > texts.null_count():
        raise DescriptionError(f"{description.path}: [columns] {key}: {name!r} holds more than numbers")
    is_finite = values.is_finite().fill_null(value=False)
    return pl.select(pl.when(is_finite).then(values)).to_series()


def _cuts(description: Description, time: Column, event: Mask) -> tuple[tuple[float, ...], list[Count]]:
    """The ends of the steps: those given, else the unique whole times up to max_time; of more than 60 in
    fifty parts of equal count of leavers."""
    last = description.protocol["max_time"]
    counts = []
    if last is None:
        last = float(np.ceil(np.quantile(time, 1 - WATCHED_SHARE)))
        counts.append(
            Count(
                "watched_beyond_max_time",
                f"Customers watched beyond {last:g}, where the curves end (max_time not given)",
                f"عملاء رُصدوا بعد {last:g} حيث تنتهي المنحنيات (لم يُعط max_time)",
                int((time > last).sum()),
            )
        )
    given = description.protocol["steps"]
    if given:
        cuts = [cut for cut in given if cut <= last] or [last]
    else:
        whole = np.unique(np.ceil(time[time <= last]))
        cuts = [float(cut) for cut in whole if cut <= last] or [float(last)]
        if len(cuts) > MOST_STEPS:
            counts.append(
                Count(
                    "times_joined_into_steps",
                    f"Unique whole times, joined into at most {FEWER_STEPS} steps",
                    f"مدد صحيحة مختلفة جُمعت في {FEWER_STEPS} خطوة على الأكثر",
                    len(cuts),
                )
            )
            leavers = time[event & (time <= last)]
            shares = np.quantile(leavers, np.linspace(0, 1, FEWER_STEPS + 1)[1:]) if len(leavers) else [last]
            cuts = [float(cut) for cut in np.unique(np.ceil(shares))]
    if len(cuts) < 2:
        raise DescriptionError(
            f"{description.path}: there are not two steps up to {last:g}; give [protocol] steps or max_time"
        )
    return tuple(cuts), counts


def _auc_times(description: Description, cuts: Sequence[float]) -> tuple[float, ...]:
    """The times at which an AUC is given: those asked for that end a step, else a quarter, half and three
    quarters of the way."""
    asked = description.protocol["auc_times"]
    strange = [t for t in asked if t not in cuts]
    if strange:
        raise DescriptionError(
            f"{description.path}: [protocol] auc_times: {strange[0]:g} ends no step; steps end at "
            f"{', '.join(f'{cut:g}' for cut in cuts)}"
        )
    return asked or tuple(dict.fromkeys(cuts[round((len(cuts) - 1) * k / 4)] for k in (1, 2, 3)))


# One fold.


def _fold(table: Table, known: Places, judged: Places, units: NDArray[Any], seed: int) -> Fold:
    panel = table.panel(known)
    expanded = expand(panel, table.cuts, (CAUSE,))
    inputs = (*table.inputs, *timing_of(table.cuts, has_decision=False, has_season=False))
    trained = train(expanded.x, expanded.left_by == 0, inputs, units[known][expanded.row], seed)
    new = table.x[judged]
    hazards = {name: _model(table, trained, name) for name in CANDIDATES}
    survival = {name: one.predict(new).survival for name, one in hazards.items()}
    curve = sm.survival_curve(table.time[known], table.event[known], table.entry[known])
    survival["kaplan_meier"] = np.tile(curve.at(np.array(table.cuts)), (len(judged), 1))
    survival[CHAMPION] = survival[trained.champion]
    exposure = np.minimum(table.time[known], table.cuts[-1]) - np.minimum(table.entry[known], table.cuts[-1])
    rule = column_rule(table.x[known], table.event[known], table.inputs, np.maximum(exposure, 1e-9))
    first = hazards[trained.champion].matrix(new, 0)
    own, model = trained.sigmoids[trained.champion], trained.models[trained.champion]
    return Fold(
        rows=judged,
        survival=survival,
        ranking=rule.risk(new),
        watched=sm.watched_curve(table.time[known], table.event[known], table.entry[known]),
        trained=trained,
        base=own.offset + own.slope * expected_of(model),
        contributions=own.slope * model.contributions(first),
    )


def _model(table: Table, trained: Trained, name: str) -> HazardModel:
    own = trained.sigmoids[name]
    return HazardModel(
        cuts=table.cuts,
        causes=(CAUSE,),
        inputs=table.inputs,
        has_decision=False,
        has_season=False,
        models=(trained.models[name],),
        slopes=(own.slope,),
        offsets=(own.offset,),
    )


# Figures.


def _figures(
    table: Table, done: Sequence[Fold], name: str, auc_times: Sequence[float]
) -> list[dict[str, Any]]:
    measured = [_measured(table, fold, name, auc_times) for fold in done]
    rates = [float(table.event[fold.rows].mean()) for fold in done]
    return figures_of(name, measured, [len(fold.rows) for fold in done], rates)


def _measured(table: Table, fold: Fold, name: str, auc_times: Sequence[float]) -> dict[str, Measured]:
    """Figures of one fold. The risk of a customer is its probability to have left by the last step; under a
    late entry curves are conditional on it, and who enters after a time is not judged at it."""
    time, event, entry = table.time[fold.rows], table.event[fold.rows], table.entry[fold.rows]
    last = table.cuts[-1]
    if name == "one_column_rule":
        return {
            "harrell_c": Measured(sm.harrell_c(time, event, fold.ranking, entry)),
            "uno_c": Measured(sm.uno_c(time, event, fold.ranking, fold.watched, last, entry)),
        }
    survival = fold.survival[name]
    risk = 1 - survival[:, -1]
    found = {
        "harrell_c": Measured(sm.harrell_c(time, event, risk, entry)),
        "uno_c": Measured(sm.uno_c(time, event, risk, fold.watched, last, entry)),
        "ibs": Measured(
            sm.integrated_brier(
                time, event, _from_entry(survival, table.cuts, entry), table.cuts, fold.watched, entry
            )
        ),
    }
    for t in auc_times:
        at = 1 - survival[:, table.cuts.index(t)]
        found[f"auc_at_{t:g}"] = Measured(sm.auc_at(time, event, at, t, fold.watched, entry))
    return found


def _from_entry(survival: Column, cuts: Sequence[float], entry: Column) -> Column:
    """P(there after a cut, given there at the entry): S(t) / S(entry), entries counted from the last cut."""
    if not entry.any():
        return survival
    whole = np.hstack([np.ones((len(survival), 1)), survival])
    place = np.searchsorted(np.array(cuts), entry, side="right")
    at_entry = whole[np.arange(len(entry)), place]
    return np.minimum(1.0, survival / np.maximum(at_entry, 1e-12)[:, None])


# Result.


def _result(
    description: Description, table: Table, done: Sequence[Fold], figures: list[dict[str, Any]]
) -> Result:
    champion = most_chosen([fold.trained.champion for fold in done], CANDIDATES)
    alarms = of_folds.leak_alarms(table.x, table.event, table.inputs)
    best_rule = max(mean_of(figures, rule, "harrell_c") for rule in RULES)
    is_worse = mean_of(figures, CHAMPION, "harrell_c") < best_rule or mean_of(
        figures, CHAMPION, "ibs"
    ) > mean_of(figures, "kaplan_meier", "ibs")
    kept = kept_of(
        description,
        inputs=table.inputs,
        counts=table.counts,
        trained=[fold.trained for fold in done],
        champion=champion,
        headline="leak" if alarms else "rule_wins" if is_worse else "model_wins",
        leak={"alarms": list(alarms)},
        rows=len(table.event),
        events=int(table.event.sum()),
    ) | {"steps": list(table.cuts)}
    order = np.argsort(np.concatenate([fold.rows for fold in done]), kind="stable")
    return Result(
        judged=CHAMPION,
        figures=figures,
        metrics=kept,
        predictions=pl.concat([_predictions(description, table, done, k) for k in range(len(done))])[order],
        document=document_of(description, kept, figures, RULES, _shapes(table, done[-1].trained, champion)),
    )


def _shapes(table: Table, trained: Trained, champion: str) -> list[dict[str, Any]]:
    expanded = expand(table.panel(np.arange(len(table.time))), table.cuts, (CAUSE,))
    inputs = (*table.inputs, *timing_of(table.cuts, has_decision=False, has_season=False))
    return shapes_of(trained.models[champion], expanded.x, inputs)


def _predictions(description: Description, table: Table, done: Sequence[Fold], place: int) -> pl.DataFrame:
    """Row key (the id and the row's number in what was judged), fold, time, event, p to have left by the last
    step of each candidate, the champion's curve, then its base and contributions: their sum is the log-odds
    of leaving in the first step."""
    fold = done[place]
    columns: dict[str, Any] = {"row": fold.rows}
    if description.columns["id"] is not None:
        columns["id"] = table.frame[description.columns["id"]].gather(fold.rows)
    columns |= {
        "fold": np.full(len(fold.rows), place + 1),
        "time": table.time[fold.rows],
        "event": table.event[fold.rows],
    }
    columns |= {
        f"p_{name}": 1 - fold.survival[name][:, -1] for name in ("kaplan_meier", *CANDIDATES, CHAMPION)
    }
    columns["rank_one_column_rule"] = fold.ranking
    columns |= {f"survival_{cut:g}": fold.survival[CHAMPION][:, k] for k, cut in enumerate(table.cuts)}
    columns["champion"] = [fold.trained.champion] * len(fold.rows)
    columns["base"] = np.full(len(fold.rows), fold.base)
    names = [
        one.name for one in (*table.inputs, *timing_of(table.cuts, has_decision=False, has_season=False))
    ]
    columns |= {f"contribution_{name}": fold.contributions[:, j] for j, name in enumerate(names)}
    return pl.DataFrame(columns)
