"""Accounts with a contract: a curve for each, by cause and aware of its commitment; its reasons; its place in
the lists. Those that have given notice are listed apart, without a probability: they are leaving."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl

from churn_model import account_protocol, accounts, actions, decisions, explain, protocol, stage, tables
from churn_model.dataset import HORIZON_DAYS, Feature, Panel
from churn_model.hazard import CAUSES, Curves, HazardModel, hazards_from_json
from churn_model.matrix import Input, matrix_of
from churn_model.model import AdditiveModel
from churn_model.points import account_points
from churn_model.registry import ModelRefused
from churn_model.run import Run, blocks, nan_to_none
from churn_model.shapes import hazard_shapes
from churn_model.spool import percentile, with_places
from churn_model.training import Trained, identity_of, kept_of, made_once, manifest_of, peers, score_bins
from churn_model.withholding import unseen_shares, without_history

COMMITMENT = "contract"
RULE_MODEL = "rule-account-points-1"
ROW_FLAGS = ("no_usage_feed", "no_crm_account", "known_day_assumed")
"""Columns of the snapshots that are a doubt about their row."""


@dataclass(frozen=True)
class Accounts:
    """The accounts of marts.fct_account_snapshots: those at risk as a panel, the other rows apart (with
    notice, on trial, tests)."""

    others: pl.DataFrame
    panel: Panel
    inputs: tuple[Input, ...]
    features: tuple[Feature, ...]
    commitment: str = COMMITMENT
    rule_model: str = RULE_MODEL
    table: str = accounts.TABLE

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def train(self, run: Run) -> Trained:
        """The champion's hazards on all that was known at the last month end, so that a model is due once a
        month.

        Raises TooLittleData and ModelRefused.
        """
        day = month_end_by(run.as_of)
        protocol.require_enough(self.panel, day)
        known = self.panel.closed_by(day)
        rows = accounts.near_rows(self.panel, day)
        learned = pl.concat(
            accounts.learned_frame(accounts.hazard_panel(some, self.inputs, day))
            for some in (rows, accounts.learned_rows(self.panel, day))
        )
        identity = identity_of(COMMITMENT, self.features, learned, HORIZON_DAYS)

        def make() -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
            evaluation, with_season = account_protocol.evaluate(self.panel, self.inputs, day, run.progress)
            if evaluation.leak_alarms:
                alarms = ", ".join(evaluation.leak_alarms)
                run.progress(f"churn: ALARM, too good to be known in time: {alarms}")
            run.progress(f"churn: training hazards ({evaluation.champion}) on {len(rows.y):,} rows")
            fitted = account_protocol.fit_all(self.panel, self.inputs, day)
            model = fitted[evaluation.champion]
            references = accounts.references_of(known, self.inputs)
            manifest = {
                "candidate": evaluation.champion,
                "commitment_class": COMMITMENT,
                "population": "MRR above 0, not on trial, no notice given by the as-of day",
                "label": f"the last live subscription ends within {HORIZON_DAYS} days and none follows in 30",
                "horizon_days": HORIZON_DAYS,
                "with_season": with_season,
                "references": references.to_json(),
                **manifest_of(self.panel, known, self.features, day, references.by_group[""][0]),
            }
            manifest["bins"] = {
                one.name: manifest["bins"][one.name] for one in self.inputs if one.categories is None
            }
            manifest["score_bins"] = score_bins(evaluation)
            capacity = run.assumptions.capacity
            drawn = hazard_shapes(
                model,
                rows.x,
                accounts.decision_days(rows.frame),
                accounts.as_of_days(rows.frame),
                *references.by_group[""],
                self.features,
            )
            # of its first load no source but a dated history of subscriptions says when it became known
            kept = kept_of(evaluation, self.panel, day, capacity, drawn, known_day_assumed=True)
            return model.to_json(), manifest, kept

        return made_once(run.models, identity, self.features, make)

    def check(self, trained: Trained) -> None:
        self.model_of(trained)

    def model_of(self, trained: Trained) -> HazardModel:
        """Raises ModelRefused where the model is of another kind or reads other features."""
        try:
            model = hazards_from_json(trained.content)
        except ValueError as error:
            raise ModelRefused(f"{trained.model_id}: {error}") from error
        if [one.name for one in model.inputs] != self.names:
            raise ModelRefused(f"{trained.model_id} reads other features than this release makes")
        return model

    def read(self, trained: Trained) -> Collection[str]:
        model = self.model_of(trained)
        sums = [one for one in (*model.models, *model.far_models) if isinstance(one, AdditiveModel)]
        return frozenset[str]().union(*(one.read for one in sums))

    def unseen(self, trained: Trained, as_of: date) -> Mapping[str, float]:
        now = self.panel.on(as_of).frame
        inputs = [one for one in self.model_of(trained).inputs if one.categories is not None]
        return unseen_shares(
            {one.name: now[one.name].cast(pl.String).to_list() for one in inputs},
            {one.name: one.categories or () for one in inputs},
        )

    def score(self, run: Run, trained: Trained, flags: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Today's accounts by a model, block by block: curve, reasons, what follows from them; and those with
        notice."""
        model, shift = self.model_of(trained), 0.0
        if trained.manifest.get("with_season"):
            target = protocol.season_target(self.panel, run.as_of)
            model, shift = account_protocol.at_level(model, self.todays(run, model), target)
        frame = self.panel.on(run.as_of).frame
        day = actions.Day(run.rates)
        rows = self._blocks(run, trained, model, shift, frame, flags, day)
        yield from with_places(rows, lambda: day.places(run.assumptions.capacity), run.scratch)
        leaving = self.leaving(run, trained.model_id)
        if leaving.height:
            yield leaving

    def _blocks(
        self,
        run: Run,
        trained: Trained,
        model: HazardModel,
        shift: float,
        frame: pl.DataFrame,
        flags: Sequence[str],
        day: actions.Day,
    ) -> Iterator[pl.DataFrame]:
        """The day's accounts but for what only the whole day decides, which `day` is told."""
        references = accounts.references_from_json(trained.manifest["references"])
        previous = stage.previous_p_90(run.connection, run.as_of, trained.model_id)
        left_out = stage.left_out_before(run.connection, run.as_of)
        tops = tops_of(frame, run.rates)
        for block in blocks(frame.height):
            rows, parts = self._scored(run, trained, model, references, frame[block], flags)
            for row in rows:
                before = previous.get(row["customer_id"])
                row |= {
                    "season_offset": shift,
                    "base_logit": row["base_logit"] - shift,
                    "p_90_change": None if before is None else row["p_90"] - before,
                }
            situations = situations_of(frame[block])
            actions.acted(rows, situations, tops[block], run.plays, run.assumptions, left_out)
            day.take(rows)
            yield pl.DataFrame(rows, infer_schema_length=None).with_columns(parts)

    def todays(self, run: Run, model: HazardModel) -> Panel:
        """Those at risk on the run's day, as the model reads them."""
        now = self.panel.on(run.as_of)
        return Panel(now.frame, matrix_of(now.frame, model.inputs), now.y, now.horizon_days)

    def _scored(
        self,
        run: Run,
        trained: Trained,
        model: HazardModel,
        references: accounts.References,
        frame: pl.DataFrame,
        flags: Sequence[str],
    ) -> tuple[list[dict[str, Any]], pl.Series]:
        """What the model says of some accounts, and all parts of it."""
        x = matrix_of(frame, model.inputs)
        days, as_of = accounts.decision_days(frame), accounts.as_of_days(frame)
        curves = model.predict(x, days, as_of)
        months, chances = curves.likely_month(as_of)
        medians = curves.median_days()
        by_cause = {cause: curves.p_by(cause, HORIZON_DAYS) for cause in CAUSES}
        causes = [max(CAUSES, key=lambda cause: by_cause[cause][i]) for i in range(len(x))]
        told, parts = self._told(run, model, references, frame, x, causes)
        leaves_at_term = p_nonrenewal(curves, frame)
        horizons = {f"p_{h}": curves.p(h) for h in (30, 90, 180, 365)}
        names = ("segment", "commitment_class", "currency", "mrr_minor", "committed_365_minor")
        rows, is_new = [], without_history(x, self.features)
        for i, (row, group) in enumerate(zip(frame.iter_rows(named=True), peers(frame), strict=True)):
            own = [name for name in ROW_FLAGS if row.get(name)] + ["no_history"] * is_new[i]
            rows.append(
                {
                    "customer_id": row["customer_id"],
                    "as_of": run.as_of,
                    "model_id": trained.model_id,
                    "scored_at": run.scored_at,
                    "score_kind": "probability",
                    **{name: _whole(row.get(name)) for name in names},
                    **{name: float(p[i]) for name, p in horizons.items()},
                    **{f"p_{cause}_90": float(p[i]) for cause, p in by_cause.items()},
                    "p_nonrenewal_next_term": nan_to_none(leaves_at_term[i]),
                    "likely_month": months[i].astype("datetime64[D]").item(),
                    "likely_month_probability": float(chances[i]),
                    "median_days_to_churn": None if np.isnan(medians[i]) else int(np.ceil(medians[i])),
                    "cause": causes[i],
                    **told[i],
                    "support": trained.manifest["support"].get(group, 0),
                    "data_quality_flags": [*flags, *own],
                }
            )
        return rows, parts

    def _told(
        self,
        run: Run,
        model: HazardModel,
        references: accounts.References,
        frame: pl.DataFrame,
        x: Any,
        causes: Sequence[str],
    ) -> tuple[list[dict[str, Any]], pl.Series]:
        """Reasons of each row, those of its cause, and all parts of its score."""
        typical, typical_days = references.of(frame)
        days, as_of = accounts.decision_days(frame), accounts.as_of_days(frame)
        features = (*self.features, explain.TIMING)
        categories = categories_of(model.inputs)
        told: list[dict[str, Any]] = [{} for _ in causes]
        values, usual = np.column_stack([x, days]), np.column_stack([typical, typical_days])
        contributions, points = np.empty(values.shape), np.empty(values.shape)
        for cause in CAUSES:
            rows = np.flatnonzero([one == cause for one in causes])
            if not len(rows):
                continue
            parts = explain.explain_hazard(
                model,
                cause,
                x[rows],
                days[rows],
                as_of[rows],
                typical[rows],
                typical_days[rows],
                HORIZON_DAYS,
            )
            reasons = explain.reasons(
                parts,
                values[rows],
                usual[rows],
                features,
                frame["currency"].gather(rows).to_list(),
                run.exponents,
                categories,
                run.told_in,
            )
            for place, row in enumerate(rows):
                told[row] = {
                    **reasons[place],
                    "base_logit": float(parts.base_logit[place]),
                    "logit": float(parts.logit[place]),
                    "p_cause_90": float(parts.p[place]),
                    "p_reference": float(parts.p_reference[place]),
                }
            contributions[rows], points[rows] = parts.contributions, parts.points
        return told, explain.parts_of(contributions, points, values, usual, features)

    def leaving(self, run: Run, model_id: str) -> pl.DataFrame:
        """Those that have given notice: on their own list, with no probability."""
        names = ("segment", "commitment_class", "currency", "mrr_minor", "committed_365_minor", "decision_on")
        gone = self.others.filter((pl.col("as_of") == run.as_of) & pl.col("has_notice")).sort("customer_id")
        rows = [
            {
                "customer_id": row["customer_id"],
                "as_of": run.as_of,
                "model_id": model_id,
                "scored_at": run.scored_at,
                "score_kind": "notice",
                **{name: _whole(row.get(name)) for name in names},
                "list_name": "leaving",
                "in_holdout": actions.in_holdout(row["customer_id"], run.as_of),
            }
            for row in gone.iter_rows(named=True)
        ]
        worth = [_exact(row["mrr_minor"]) * run.rates.get(row["currency"], Fraction(1)) for row in rows]
        count = len(rows)
        places = actions.ranked_by_value(["leaving"] * count, [True] * count, worth, [0.0] * count)
        for row, place in zip(rows, places, strict=True):
            row["value_rank"] = place
        return pl.DataFrame(rows, infer_schema_length=None)

    def only_leaving(self, run: Run) -> stage.Status | None:
        """The list of a day on which nobody is at risk, but some have given notice; None without any."""
        registry = run.connection.sql("SELECT * FROM churn.churn_models").pl().to_dicts()
        used = decisions.in_use(registry, COMMITMENT)
        model_id = used[-1]["model_id"] if used else RULE_MODEL
        rows = self.leaving(run, model_id)
        if rows.is_empty():
            return None
        if not stage.is_scored(run.connection, run.as_of, model_id):
            tables.insert(run.connection, "churn_scores", rows)
        return stage.all_leaving(COMMITMENT, model_id)

    def score_by_rule(self, run: Run) -> pl.DataFrame:
        """Today's accounts by the points score, with the grounds of the points: no probability."""
        frame = self.panel.on(run.as_of).frame
        points, grounds = account_points(frame)
        teller = explain.Teller(self.features, run.exponents, categories_of(self.inputs), run.told_in)
        typical = explain.reference_of(self.panel.x)
        x = matrix_of(frame, self.inputs)
        rows = []
        for i, row in enumerate(frame.iter_rows(named=True)):
            told = [
                {
                    **teller.reason(self.names.index(name), x[i], typical, 0.0, 0.0, row["currency"]),
                    **UNMEASURED,
                }
                for name in grounds[i][:3]
                if name in self.names
            ]
            lists = actions.list_of(
                row["commitment_class"],
                row["decision_on"],
                run.as_of,
                has_notice=False,
                is_failing=is_dunned(row),
            )
            rows.append(
                {
                    "customer_id": row["customer_id"],
                    "as_of": run.as_of,
                    "model_id": RULE_MODEL,
                    "scored_at": run.scored_at,
                    "score_kind": "rule",
                    **{
                        name: _whole(row.get(name))
                        for name in (
                            "segment",
                            "commitment_class",
                            "currency",
                            "mrr_minor",
                            "committed_365_minor",
                        )
                    },
                    "decision_on": row["decision_on"],
                    "list_name": lists,
                    "rule_points": int(points[i]),
                    **{f"reason_{n + 1}": told[n] if n < len(told) else None for n in range(3)},
                    "data_quality_flags": [name for name in ROW_FLAGS if row.get(name)],
                }
            )
        worth = [_exact(row["mrr_minor"]) for row in rows]
        left_out = stage.left_out_before(run.connection, run.as_of)
        actions.acted_by_rule(rows, worth, run.assumptions, run.rates, left_out)
        scored = pl.DataFrame(rows, infer_schema_length=None).with_columns(percentile("rule_points"))
        return pl.concat([scored, self.leaving(run, RULE_MODEL)], how="diagonal_relaxed")


UNMEASURED = {"contribution": None, "points": None, "direction": "raises"}
"""A ground of the points score has no share in a probability."""


def month_end_by(day: date) -> date:
    """The last month end up to a day."""
    return day if (day + timedelta(days=1)).day == 1 else day.replace(day=1) - timedelta(days=1)


def categories_of(inputs: Sequence[Input]) -> dict[str, tuple[str, ...]]:
    return {one.name: one.categories for one in inputs if one.categories}


def situations_of(frame: pl.DataFrame) -> list[actions.Situation]:
    """What is at stake with each account, and when it decides."""
    return [
        actions.Situation(_stake(row), row["decision_on"], is_dunned=is_dunned(row))
        for row in frame.iter_rows(named=True)
    ]


def tops_of(frame: pl.DataFrame, rates: Mapping[str, Fraction]) -> list[bool]:
    """Of each account of a day whether it is in the tenth with most at stake."""
    stakes = (_stake(row) for row in frame.select("mrr_minor", "committed_365_minor").iter_rows(named=True))
    return actions.top_valued(actions.in_common(stakes, frame["currency"], rates))


def _stake(row: Mapping[str, Any]) -> Fraction:
    return actions.at_stake_minor(_exact(row["mrr_minor"]), _exact(row["committed_365_minor"]))


def is_dunned(row: Mapping[str, Any]) -> bool:
    """Whether attempts to collect an unpaid invoice of an account have failed and none has come through."""
    return bool((row.get("open_dunning_attempts") or 0) > 0)


def p_nonrenewal(curves: Curves, frame: pl.DataFrame) -> Any:
    """The probability that an account with a term leaves of its own will up to the end of that term: of the
    step that holds the term's end, or the decision point where no end is told. NaN without a term, and beyond
    365 days.
    """
    months = frame["months_to_term_end"] if "months_to_term_end" in frame.columns else None
    decisions = accounts.decision_days(frame)
    ends = decisions if months is None else np.fmax(decisions, months.cast(float).to_numpy() * MONTH)
    is_term = (frame["commitment_class"] == "term").to_numpy()
    place = np.searchsorted(np.array(curves.cuts), np.nan_to_num(ends, nan=np.inf), side="left")
    inside = is_term & (place < len(curves.cuts))
    incidence = curves.incidence[curves.causes.index("voluntary")]
    found = incidence[np.arange(len(place)), np.minimum(place, len(curves.cuts) - 1)]
    return np.where(inside, found, np.nan)


MONTH = 365.25 / 12


def _whole(value: Any) -> Any:
    """Amounts become whole minor units once, halves away from zero; other values stay."""
    return value if value is None or isinstance(value, int | str | date) else actions.half_up(Fraction(value))


def _exact(value: Any) -> Fraction:
    return Fraction(0) if value is None else Fraction(value)


def accounts_of(run: Run, features: Sequence[Feature] | None = None) -> Accounts | None:
    """The accounts of the stage; None where nobody has a subscription that counts. `features` are those of
    account_features.toml unless others are given."""
    at_risk = stage.frame_of(run.connection, accounts.TABLE, "is_at_risk", run.as_of)
    if at_risk.is_empty():
        return None
    others = stage.frame_of(run.connection, accounts.TABLE, "NOT is_at_risk", run.as_of)
    features = tuple(features or accounts.account_features())
    at_risk = stage.in_reporting_currency(at_risk, features, run.rates)
    learned = at_risk.filter(pl.col("as_of") < run.as_of)
    inputs = accounts.account_inputs(learned if learned.height else at_risk, features)
    return Accounts(others, accounts.account_panel(at_risk, inputs), inputs, features)
