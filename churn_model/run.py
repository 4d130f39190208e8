"""What one scoring run is given, and the order that repeat trade and accounts go through alike."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np
import polars as pl

from churn_model import decisions, protocol, stage, tables
from churn_model.actions import Assumptions
from churn_model.dataset import Feature, Panel, closed_origins
from churn_model.monitoring import CALENDAR, Stability, bins_from_json, drift_of
from churn_model.playbook import Play, plays_of
from churn_model.registry_rows import evaluation_rows, registry_row, reliability_rows
from churn_model.stage import Status
from churn_model.training import Progress, Trained, loaded
from churn_model.watch import Past, watch
from churn_model.withholding import Reason, Source, input_flags, reason_text, withheld

BLOCK = 10_000
MOST_MONTHS_TO_ENOUGH = 36


@dataclass(frozen=True)
class Run:
    """A scoring run: the stage, the company's folder, the day, the moment, and what the company states."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    as_of: date
    scored_at: datetime
    progress: Progress = lambda _: None
    assumptions: Assumptions = field(default_factory=Assumptions)
    sources: Sequence[Source] = ()
    plays: Sequence[Play] = field(default_factory=plays_of)
    exponents: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, Fraction] = field(default_factory=dict)
    reporting_currency: str = ""
    scratch: Path | None = None
    """Where blocks of scores are put aside; the system's own folder where none is given."""

    @property
    def told_in(self) -> dict[str, str]:
        """The currency that amounts are told in, by the customer's: the reporting one where a rate is
        known.
        """
        return dict.fromkeys(self.rates, self.reporting_currency)

    @property
    def models(self) -> Path:
        return self.folder / "churn"


class Family(Protocol):
    """Customers that are scored by one kind of model: repeat trade, accounts."""

    @property
    def commitment(self) -> str: ...

    @property
    def rule_model(self) -> str: ...

    @property
    def table(self) -> str:
        """The mart whose rows are scored."""

    @property
    def features(self) -> tuple[Feature, ...]: ...

    @property
    def panel(self) -> Panel: ...

    def train(self, run: Run) -> Trained:
        """The champion on all that had closed by the run's day. Raises TooLittleData and ModelRefused."""

    def check(self, trained: Trained) -> None:
        """Raises ModelRefused where these features are not those of the model."""

    def read(self, trained: Trained) -> Collection[str]:
        """The features that move the model's scores."""

    def unseen(self, trained: Trained, as_of: date) -> Mapping[str, float]:
        """Of each category the share of a day's rows whose value training never saw."""

    def score(self, run: Run, trained: Trained, flags: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows of churn_scores of the run's day, in blocks."""

    def score_by_rule(self, run: Run) -> pl.DataFrame: ...


def score_family(run: Run, family: Family, past: Past) -> Status:
    """Train when due, choose the model in use, withhold or score, watch, and write. Raises ModelRefused."""
    name = family.commitment
    try:
        trained = family.train(run)
    except protocol.TooLittleData as refusal:
        run.progress(f"churn: {name} not trained: {refusal}")
        if not stage.is_scored(run.connection, run.as_of, family.rule_model):
            tables.insert(run.connection, "churn_scores", family.score_by_rule(run))
        missing = str(refusal), refusal.ar
        return stage.rule_only(name, family.rule_model, *missing, enough_on(family.panel, run.as_of))
    used = in_use(run, family, trained)
    inputs = drift_today(run, family, used)
    doubts = reasons_to_withhold(run, family, used)
    drifted = withheld(run.as_of, drift=read_anew(inputs, family.read(used)))
    if doubts:
        watch(run, family, used, inputs, past, (*doubts, *drifted))
        run.progress(f"churn: {name} withheld: {reason_text(doubts, 'en')}")
        return Status(
            name,
            "withheld",
            doubts[0].code,
            reason_text(doubts, "en"),
            reason_text(doubts, "ar"),
            used.model_id,
        )
    if not stage.is_scored(run.connection, run.as_of, used.model_id):
        run.progress(f"churn: scoring {name} with {used.manifest['candidate']} ({used.model_id})")
        flags = [*flags_of(family, used, run), *(f"drift:{one.subject}" for one in drifted)]
        for scores in family.score(run, used, flags):
            tables.insert(run.connection, "churn_scores", scores)
    watch(run, family, used, inputs, past, ())
    return stage.scored(name, used.model_id, reason_text(drifted, "en"), reason_text(drifted, "ar"))


def in_use(run: Run, family: Family, trained: Trained) -> Trained:
    """The model that scores, and the rows of the registry that this run adds.

    The newest trained one by the champion rule, unless a person has chosen another.
    """
    rows = run.connection.sql("SELECT * FROM churn.churn_models").pl().to_dicts()
    known = {(row["model_id"], row["stage"]) for row in rows}
    chosen = decisions.chosen_by_person(rows, family.commitment)
    added = []
    if (trained.model_id, "trained") not in known and (trained.model_id, "scoring") not in known:
        added.append(registry_row(trained, "trained", run.scored_at))
    used = trained
    if chosen is not None and chosen != trained.model_id:
        used = loaded(run.models, chosen)
        family.check(used)
        run.progress(f"churn: {trained.model_id} is trained; {chosen} scores, as a person decided")
    elif chosen is None:
        stack = decisions.in_use(rows, family.commitment)
        if not stack or stack[-1]["model_id"] != trained.model_id:
            added.append(registry_row(trained, "scoring", run.scored_at))
    if added:
        frame = pl.DataFrame(added, schema_overrides=tables.frame_types("churn_models"))
        tables.insert(run.connection, "churn_models", frame)
    for one in {model.model_id: model for model in (trained, used)}.values():
        tables.insert(run.connection, "churn_evaluation", evaluation_rows(one))
        tables.insert(run.connection, "churn_reliability", reliability_rows(one))
    return used


def drift_today(run: Run, family: Family, used: Trained) -> dict[str, Stability]:
    """How unlike training the run's inputs are."""
    now = family.panel.on(run.as_of)
    bins = {name: bins_from_json(content) for name, content in used.manifest.get("bins", {}).items()}
    return drift_of(bins, now.x, [feature.name for feature in family.features])


def read_anew(inputs: Mapping[str, Stability], read: Collection[str]) -> dict[str, float]:
    """The stability index of the inputs that move the scores: what the model does not read, it cannot read
    outside of what it learned."""
    return {name: value.beyond_noise for name, value in inputs.items() if name in read}


def reasons_to_withhold(run: Run, family: Family, used: Trained) -> tuple[Reason, ...]:
    """Sources behind their SLA, tests of an input that failed, categories training never saw. An input that
    drifted beyond the limit is flagged on every row and told with the status: a feed that counts week by week
    is unlike a month end on any other day."""
    return withheld(
        run.as_of,
        sources=run.sources,
        unseen=family.unseen(used, run.as_of),
        failed_tests=stage.failed_tests(run.connection, family.table),
    )


def flags_of(family: Family, used: Trained, run: Run) -> list[str]:
    """The doubts that stand on every row of the run. A family of features without any value is a source that
    is missing; the calendar is the same for everyone by its nature. Where rows know whether the day they
    became known is assumed, they say so themselves."""
    now, assumed = family.panel.on(run.as_of), "known_day_assumed"
    flags = [assumed] if used.evaluation[assumed] and assumed not in now.frame.columns else []
    flags += [f"leak_alarm:{name}" for name in used.evaluation["leak_alarms"]]
    is_empty = [bool(np.isnan(now.x[:, j]).all()) for j in range(now.x.shape[1])]
    of_family: dict[str, list[int]] = {}
    for j, feature in enumerate(family.features):
        of_family.setdefault(feature.family, []).append(j)
    missing = [name for name, columns in of_family.items() if all(is_empty[j] for j in columns)]
    told = [
        j
        for j, feature in enumerate(family.features)
        if feature.family not in missing and feature.name not in CALENDAR
    ]
    names = [family.features[j].name for j in told]
    return [*flags, *input_flags(now.x[:, told], names, missing)]


def enough_on(panel: Panel, day: date) -> date | None:
    """The day by which enough will have closed, if customers go on leaving as often as they did by a day: the
    third month end, and the month end that brings the leavers to the least number. None where that cannot be
    told, or is further off than MOST_MONTHS_TO_ENOUGH.
    """
    ends = closed_origins(panel, date.max)
    closed = closed_origins(panel, day)
    events = protocol.leavers(panel.closed_by(day))
    if len(ends) < protocol.MIN_ORIGINS or not events:
        return None
    last = ends[protocol.MIN_ORIGINS - 1]
    months = math.ceil(max(0, protocol.MIN_EVENTS - events) * len(closed) / events)
    if months > MOST_MONTHS_TO_ENOUGH:
        return None
    if months:
        years, month = divmod(12 * closed[-1].year + closed[-1].month + months, 12)
        last = max(last, date(years, month + 1, 1) - timedelta(days=1))
    return last + timedelta(days=panel.horizon_days)


def blocks(rows: int) -> list[slice]:
    return [slice(first, first + BLOCK) for first in range(0, rows, BLOCK)]


def nan_to_none(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
