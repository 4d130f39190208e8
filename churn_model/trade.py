"""Repeat trade: customers without a contract, who leave by not ordering again. One 90-day classifier."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

import polars as pl

from churn_model import actions, explain, protocol, stage
from churn_model.calibration import spread
from churn_model.dataset import HORIZON_DAYS, Feature, Panel, panel_of
from churn_model.model import AdditiveModel
from churn_model.registry import ModelRefused, additive_model_of
from churn_model.run import Run, blocks
from churn_model.shapes import shapes
from churn_model.spool import percentile, with_places
from churn_model.training import Trained, identity_of, kept_of, made_once, manifest_of, peers, score_bins

COMMITMENT = "non_contract"
RULE_MODEL = "rule-points-1"
TABLE = "fct_customer_snapshots"


@dataclass(frozen=True)
class Trade:
    """The customers of marts.fct_customer_snapshots."""

    panel: Panel
    features: tuple[Feature, ...]
    commitment: str = COMMITMENT
    rule_model: str = RULE_MODEL
    table: str = TABLE

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def train(self, run: Run) -> Trained:
        """The champion on all that had closed. Raises TooLittleData and ModelRefused."""
        protocol.require_enough(self.panel, run.as_of)
        known = self.panel.closed_by(run.as_of)
        rows = known.frame.select("customer_id", "as_of", "churned_90", *self.names)
        identity = identity_of(COMMITMENT, self.features, rows, HORIZON_DAYS)

        def make() -> tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]:
            evaluation = protocol.evaluate(self.panel, self.names, run.as_of, progress=run.progress)
            if evaluation.leak_alarms:
                alarms = ", ".join(evaluation.leak_alarms)
                run.progress(f"churn: ALARM, too good to be known in time: {alarms}")
            run.progress(f"churn: training {evaluation.champion} on {len(known.y):,} rows")
            reference = explain.reference_of(known.x)
            model = spread(protocol.fit_models(known, self.names)[evaluation.champion], evaluation.slope)
            manifest = {
                "candidate": evaluation.champion,
                "commitment_class": COMMITMENT,
                "population": "ordered in the 180 days up to the as-of day",
                "label": f"no order in the {HORIZON_DAYS} days after it",
                "horizon_days": HORIZON_DAYS,
                **manifest_of(self.panel, known, self.features, run.as_of, reference),
            }
            manifest["score_bins"] = score_bins(evaluation)
            capacity = run.assumptions.capacity
            drawn = shapes(model, known.x, reference, self.features)
            kept = kept_of(evaluation, self.panel, run.as_of, capacity, drawn, known_day_assumed=True)
            return model.to_json(), manifest, kept

        return made_once(run.models, identity, self.features, make)

    def check(self, trained: Trained) -> None:
        self.model_of(trained)

    def model_of(self, trained: Trained) -> AdditiveModel:
        """Raises ModelRefused where the model is of another kind or reads other features."""
        model = additive_model_of(trained.content, trained.manifest, trained.model_id)
        if list(model.features) != self.names or trained.manifest["commitment_class"] != COMMITMENT:
            raise ModelRefused(f"{trained.model_id} reads other features than this release makes")
        return model

    def read(self, trained: Trained) -> Collection[str]:
        return self.model_of(trained).read

    def unseen(self, trained: Trained, as_of: date) -> Mapping[str, float]:
        return {}

    def score(self, run: Run, trained: Trained, flags: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Today's customers by a model, block by block: probability, reasons, what follows from them."""
        day = actions.Day(run.rates)
        rows = self._blocks(run, trained, flags, day)
        return with_places(rows, lambda: day.places(run.assumptions.capacity), run.scratch)

    def _blocks(
        self, run: Run, trained: Trained, flags: Sequence[str], day: actions.Day
    ) -> Iterator[pl.DataFrame]:
        """The day's customers but for what only the whole day decides, which `day` is told."""
        now, model = self.panel.on(run.as_of), self.model_of(trained)
        offset = protocol.season_offset(model.logit(now.x), protocol.season_target(self.panel, run.as_of))
        previous = stage.previous_p_90(run.connection, run.as_of, trained.model_id)
        left_out = stage.left_out_before(run.connection, run.as_of)
        support = trained.manifest["support"]
        revenue = yearly_revenue(now.frame)
        tops = actions.top_valued(actions.in_common(revenue, now.frame["currency"], run.rates))
        for block in blocks(len(now.y)):
            frame, x = now.frame[block], now.x[block]
            rows: list[dict[str, Any]] = []
            told = explain.explain(model, x, trained.reference, offset)
            currencies = frame["currency"].to_list()
            reasons = explain.reasons(
                told,
                x,
                trained.reference,
                self.features,
                currencies,
                run.exponents,
                told_in=run.told_in,
            )
            for i, (customer, group) in enumerate(zip(frame["customer_id"], peers(frame), strict=True)):
                p_90 = float(told.p[i])
                rows.append(
                    {
                        "customer_id": customer,
                        "as_of": run.as_of,
                        "model_id": trained.model_id,
                        "scored_at": run.scored_at,
                        "score_kind": "probability",
                        "commitment_class": COMMITMENT,
                        "p_90": p_90,
                        "p_cause_90": p_90,
                        "p_90_change": p_90 - previous[customer] if customer in previous else None,
                        "currency": currencies[i],
                        "yearly_revenue_minor": revenue[block][i],
                        **reasons[i],
                        "base_logit": float(told.base_logit[i]),
                        "season_offset": told.season_offset,
                        "logit": float(told.logit[i]),
                        "p_reference": float(told.p_reference[i]),
                        "support": support.get(group, 0),
                        "data_quality_flags": list(flags),
                    }
                )
            situations = [actions.Situation(Fraction(amount)) for amount in revenue[block]]
            actions.acted(rows, situations, tops[block], run.plays, run.assumptions, left_out)
            day.take(rows)
            parts = explain.parts_of(told.contributions, told.points, x, trained.reference, self.features)
            yield pl.DataFrame(rows, infer_schema_length=None).with_columns(parts)

    def score_by_rule(self, run: Run) -> pl.DataFrame:
        """Today's customers by the points score: no probability."""
        now = self.panel.on(run.as_of)
        points = protocol.points_score(now, self.names)
        revenue = yearly_revenue(now.frame)
        rows = now.frame.select(
            "customer_id",
            pl.lit(run.as_of).alias("as_of"),
            pl.lit(RULE_MODEL).alias("model_id"),
            pl.lit(run.scored_at).alias("scored_at"),
            pl.lit("rule").alias("score_kind"),
            pl.lit(COMMITMENT).alias("commitment_class"),
            pl.lit("now").alias("list_name"),
            pl.Series("rule_points", points).cast(pl.Int64),
            pl.Series("yearly_revenue_minor", revenue, dtype=pl.Int64),
            "currency",
        ).to_dicts()
        if not rows:
            return pl.DataFrame()
        worth = [Fraction(amount) for amount in revenue]
        left_out = stage.left_out_before(run.connection, run.as_of)
        actions.acted_by_rule(rows, worth, run.assumptions, run.rates, left_out)
        return pl.DataFrame(rows, infer_schema_length=None).with_columns(percentile("rule_points"))


def yearly_revenue(frame: pl.DataFrame) -> list[int]:
    """Net revenue of the year up to the day, at least 0."""
    return (
        frame.select(pl.max_horizontal(pl.col("trailing_revenue_minor").fill_null(0), 0))
        .to_series()
        .to_list()
    )


def trade_of(run: Run, features: tuple[Feature, ...], contracted: Sequence[str]) -> Trade | None:
    """Repeat trade of the stage; None without order history. Customers with a contract are scored as
    accounts, so they are not scored here too: `contracted`."""
    frame = stage.frame_of(run.connection, TABLE, "true", run.as_of)
    if frame.is_empty():
        return None
    is_today = pl.col("as_of") == run.as_of
    frame = frame.filter(~(is_today & pl.col("customer_id").is_in(list(contracted))))
    frame = stage.in_reporting_currency(frame, features, run.rates)
    return Trade(panel_of(frame, features), features)
