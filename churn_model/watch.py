"""Was the list right, and is today like the days it was learned from? What a run measures of earlier scores
and of its own inputs, as rows of churn_monitoring and churn_save_rates and as parts of the model's report.

The rules are those of `monitoring` and `effects`; here they are given what has happened: of each class the
labels that have closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from churn_model import appraisal, effects, monitoring, report, score_history, tables
from churn_model.actions import Assumptions
from churn_model.dataset import HORIZON_DAYS
from churn_model.effects import SaveRate
from churn_model.monitoring import Stability
from churn_model.outcomes import KEY
from churn_model.training import CODE_VERSION, Trained
from churn_model.withholding import Reason

if TYPE_CHECKING:
    from churn_model.run import Family, Run


@dataclass(frozen=True)
class Past:
    """What is known of earlier runs: what they measured, what became of whom they scored (`outcomes`), and
    the save rates that follow."""

    measured: pl.DataFrame
    outcomes: pl.DataFrame
    rates: Sequence[SaveRate]


def earlier(connection: duckdb.DuckDBPyConnection, as_of: date) -> pl.DataFrame:
    """What runs before a day measured, as the last snapshot holds it. Call before the tables are made
    anew.
    """
    if not score_history.exists(connection, "churn", "churn_monitoring"):
        return pl.DataFrame()
    return connection.sql(
        "SELECT * FROM churn.churn_monitoring WHERE measured_on < $as_of", params={"as_of": as_of}
    ).pl()


WATCHED = (
    *("customer_id", "as_of", "model_id", "scored_at", "commitment_class", "segment"),
    *("p_90", "p_voluntary_90", "p_involuntary_90", "band_fixed", "band_capacity"),
    *("mrr_minor", "yearly_revenue_minor", "currency", "data_quality_flags"),
)
"""What is read of a given score: not its reasons and not the cause it named, for the outcome has one too."""


def given_scores(connection: duckdb.DuckDBPyConnection, commitment: str) -> pl.DataFrame:
    """Every probability given to a class so far, by the columns `WATCHED`."""
    is_trade = "=" if commitment == "non_contract" else "<>"
    return connection.sql(
        f"SELECT {', '.join(WATCHED)} FROM churn.churn_scores "
        f"WHERE p_90 IS NOT NULL AND commitment_class {is_trade} 'non_contract'"
    ).pl()


def save_rates_of(connection: duckdb.DuckDBPyConnection, outcomes: pl.DataFrame) -> list[SaveRate]:
    """The save rate of every play and of all, from the scores whose labels have closed. Of a day that was
    scored twice the newest list counts: the one that stood.
    """
    given = connection.sql(
        "SELECT customer_id, as_of, commitment_class, recommended_play, in_holdout, is_excluded "
        "FROM churn.churn_scores WHERE p_90 IS NOT NULL "
        "QUALIFY row_number() OVER (PARTITION BY customer_id, as_of ORDER BY scored_at DESC, model_id) = 1"
    ).pl()
    rows = beside_outcomes(given, outcomes)
    return effects.save_rates(rows) if rows.height else []


def beside_outcomes(given: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """The scores whose outcome is known, with `left`: of a customer scored as an account and as repeat trade
    on one day, each by the label of its class."""
    known = outcomes.select(*KEY, "left")
    return given.with_columns(monitoring.COMMITMENT).join(known, on=list(KEY), validate="m:1")


def with_measured(assumptions: Assumptions, rates: Sequence[SaveRate]) -> Assumptions:
    """The assumptions with what the holdout has measured well enough, in the unit of the stated rate: the
    share of leavers that a contact keeps, and not points of all listed."""
    measured = {
        rate.play: rate.kept.value
        for rate in rates
        if rate.kept is not None and rate.kept.is_enough and rate.play != effects.ALL_PLAYS
    }
    return replace(assumptions, measured=measured)


def write_save_rates(run: Run, rates: Sequence[SaveRate]) -> None:
    """The rows of churn_save_rates, each with what its play is called in both languages."""
    called = {play.play: {"play_en": play.play_en, "play_ar": play.play_ar} for play in run.plays}
    rows = [
        {"as_of": run.as_of, **asdict(rate), "is_enough": rate.is_enough, **called.get(rate.play, {})}
        for rate in rates
    ]
    schema = tables.frame_types("churn_save_rates")
    tables.insert(run.connection, "churn_save_rates", pl.DataFrame(rows, schema=schema))


def watch(
    run: Run,
    family: Family,
    used: Trained,
    inputs: Mapping[str, Stability],
    past: Past,
    reasons: Sequence[Reason],
) -> None:
    """Measure, write the rows, and bring the report of the model in use up to the day.

    inputs: the drift of the run's inputs; reasons: why the run wrote no scores.
    """
    given = given_scores(run.connection, family.commitment)
    closed = monitoring.measure_given(given, past.outcomes, measured_on=run.as_of, horizon_days=HORIZON_DAYS)
    today = given.filter((pl.col("as_of") == run.as_of) & (pl.col("model_id") == used.model_id))
    score = None
    if used.manifest.get("score_bins") and today.height:
        bins = monitoring.bins_from_json(used.manifest["score_bins"])
        score = monitoring.stability(bins, today["p_90"].to_numpy())
    drift = monitoring.drift_measures(inputs, score, over_before(past.measured, family.commitment))
    rows = monitoring.rows_of(
        drift,
        model_id=used.model_id,
        as_of=run.as_of,
        measured_on=run.as_of,
        horizon_days=HORIZON_DAYS,
        commitment_class=family.commitment,
    )
    tables.insert(run.connection, "churn_monitoring", pl.concat([closed, rows]))
    for alarm in drift:
        told = monitoring.alarm_text(alarm, "en")
        if told:
            run.progress(f"churn: ALARM: {told}")
    parts = report.parts_of_today(
        run.as_of,
        given=closed,
        effects=past.rates,
        plays={play.play: {"en": play.play_en, "ar": play.play_ar} for play in run.plays},
        inputs=inputs,
        measures=drift,
        sources=run.sources,
        reasons=reasons,
        last_list=last_list(run.connection, given, past.outcomes, family.panel.horizon_days),
        exponents=exponents_of(run, family),
        flags=flags_of(today),
    )
    if used.manifest["identity"]["code"] != CODE_VERSION:
        return  # the report of a model of an older release stays as that release wrote it
    kept = {**used.evaluation, "parts": {**used.evaluation.get("parts", {}), **parts}}
    folder = run.models / used.model_id
    report.write(folder, report.document_of_model(used.manifest, kept, family.features))


def flags_of(today: pl.DataFrame) -> dict[str, int]:
    """The doubts on a run's rows, those on most rows first."""
    flags = today["data_quality_flags"].explode().drop_nulls()
    return dict(flags.value_counts().sort(["count", "data_quality_flags"], descending=[True, False]).rows())


def exponents_of(run: Run, family: Family) -> dict[str, int]:
    """Digits after the point of the currencies that a class is billed in."""
    codes = family.panel.frame["currency"].drop_nulls().unique().sort().to_list()
    return {code: run.exponents[code] for code in codes if code in run.exponents}


def last_list(
    connection: duckdb.DuckDBPyConnection, given: pl.DataFrame, outcomes: pl.DataFrame, closes_after: int
) -> dict[str, Any] | None:
    """The newest list that was given and whose outcome is known, beside it; None without one."""
    known = beside_outcomes(given, outcomes)
    if known.is_empty():
        return None
    newest = known.filter(pl.col("as_of") == known["as_of"].max())
    own = newest.filter(pl.col("model_id") == newest.sort("scored_at")["model_id"][-1])
    closed_on = own["as_of"][0] + timedelta(days=closes_after)
    told = appraisal.list_given(own, str(closed_on))
    shown = [row for part in told.values() if isinstance(part, dict) for row in part["rows"]]
    reasons = reasons_given(
        connection, own["as_of"][0], own["model_id"][0], [r["customer_id"] for r in shown]
    )
    for row in shown:
        row["reasons"] = reasons[row["customer_id"]]
    return told


def reasons_given(
    connection: duckdb.DuckDBPyConnection, as_of: date, model_id: str, customers: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """The reasons that a model gave for some customers on a day, by customer, in both languages."""
    rows = connection.execute(
        "SELECT customer_id, reason_1, reason_2, reason_3 FROM churn.churn_scores "
        "WHERE as_of = $as_of AND model_id = $model_id AND list_contains($customers, customer_id)",
        {"as_of": as_of, "model_id": model_id, "customers": list(customers)},
    ).fetchall()
    return {
        customer: [{"en": one["sentence_en"], "ar": one["sentence_ar"]} for one in told if one]
        for customer, *told in rows
    }


def over_before(before: pl.DataFrame, commitment: str) -> set[tuple[str, str]]:
    """Which drift of a class was over its limit in the run before this one, by whichever model: (measure,
    subject). A model is made anew each month, so that of a company that builds once a month no two runs share
    one.
    """
    if before.is_empty():
        return set()
    own = before.filter(
        (pl.col("commitment_class") == commitment) & pl.col("measure").is_in(["psi_input", "psi_score"])
    )
    if own.is_empty():
        return set()
    last = own.filter(pl.col("measured_on") == own["measured_on"].max())
    return set(last.filter("is_over_limit").select("measure", "subject").rows())
