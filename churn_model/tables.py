"""The tables of schema `churn`: what scoring leaves in the warehouse and what the dashboard reads.

Every build has all of them, perhaps empty. churn_status then says why. Amounts are minor units of `currency`,
probabilities are 0 to 1, points are probability points (0.09 is nine of a hundred).
"""

from __future__ import annotations

import duckdb
import polars as pl

from churn_model.monitoring import COLUMNS

# One reason: a feature, its value and the typical one, what it does to the log-odds and to the probability.
REASON = (
    "STRUCT(feature VARCHAR, family VARCHAR, theme VARCHAR, value DOUBLE, unit VARCHAR, typical DOUBLE, "
    "direction VARCHAR, contribution DOUBLE, points DOUBLE, sentence_key VARCHAR, "
    "sentence_en VARCHAR, sentence_ar VARCHAR)"
)
CONTRIBUTION = (
    "STRUCT(feature VARCHAR, theme VARCHAR, value DOUBLE, typical DOUBLE, contribution DOUBLE, points DOUBLE)"
)

TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    # One row per customer × as_of × model_id. Append-only: a row once given never changes.
    # A score is of kind `probability`; of kind `rule`: then rule_points ranks and every p column is null; or
    # of kind `notice`: the customer has given notice, stands on the list `leaving`, and has no probability.
    # non_contract customers have p_90 only; mrr_minor is null and yearly_revenue_minor stands in its place.
    # reason_1..3 are the strongest themes that raise the risk, protective_1 the strongest that lowers it.
    # They speak of `cause`, the one with the larger probability, and of p_cause_90, the probability that it
    # ends the customer within 90 days as if there were no other cause (repeat trade has one cause: null and
    # p_90). contributions holds every feature: base_logit + season_offset + their sum = logit (of p_90; of
    # accounts the mean log-odds of the cause's hazard over the 90 days), and their points sum to p_cause_90 -
    # p_reference.
    "churn_scores": (
        ("customer_id", "VARCHAR"),
        ("as_of", "DATE"),
        ("model_id", "VARCHAR"),
        ("scored_at", "TIMESTAMPTZ"),
        ("score_kind", "VARCHAR"),
        ("segment", "VARCHAR"),
        ("commitment_class", "VARCHAR"),
        ("p_30", "DOUBLE"),
        ("p_90", "DOUBLE"),
        ("p_180", "DOUBLE"),
        ("p_365", "DOUBLE"),
        ("p_voluntary_90", "DOUBLE"),
        ("p_involuntary_90", "DOUBLE"),
        ("p_nonrenewal_next_term", "DOUBLE"),
        ("likely_month", "DATE"),
        ("likely_month_probability", "DOUBLE"),
        ("median_days_to_churn", "BIGINT"),
        ("decision_on", "DATE"),  # notice day, else term end; null without a term
        ("cause", "VARCHAR"),  # voluntary, involuntary: the one with the larger p; null without a contract
        ("p_cause_90", "DOUBLE"),
        ("list_name", "VARCHAR"),  # now (the 90-day list), later (no decision point in 90 days), leaving
        ("value_rank", "BIGINT"),  # place in its list, 1 first: those with a play, by value (actions.py)
        ("value_tier", "VARCHAR"),  # top: the tenth of the day that is worth most, at the rates; other
        ("rule_points", "BIGINT"),
        ("score_pct", "DOUBLE"),  # rank among the customers scored that day, 0 lowest risk, 100 highest
        # among the first k to act on, k being the team's week; not where expected_save_minor is below 0
        ("band_capacity", "BOOLEAN"),
        ("band_fixed", "VARCHAR"),  # high (p_90 >= .5), watch (>= .2), low; null for kind rule
        ("p_90_change", "DOUBLE"),  # against the last score by the same model; null across models
        ("mrr_minor", "BIGINT"),
        ("yearly_revenue_minor", "BIGINT"),  # net revenue of the 365 days up to as_of, at least 0
        ("currency", "VARCHAR"),
        ("committed_365_minor", "BIGINT"),  # of the next 365 days' revenue what is committed already
        # p_90 × (12 × MRR - committed, at least 0; repeat trade: yearly revenue), rounded half up once
        ("revenue_at_risk_90_minor", "BIGINT"),
        ("expected_save_minor", "BIGINT"),  # revenue at risk × save_rate - contact_cost; null without a rate
        ("save_rate", "DOUBLE"),
        ("save_rate_basis", "VARCHAR"),  # measured (in the holdout), stated (churn.toml); null: neither
        ("contact_cost_minor", "BIGINT"),
        ("reason_1", REASON),
        ("reason_2", REASON),
        ("reason_3", REASON),
        ("protective_1", REASON),
        ("contributions", CONTRIBUTION + "[]"),
        ("base_logit", "DOUBLE"),  # logit of the reference customer, before the season offset
        ("season_offset", "DOUBLE"),
        ("logit", "DOUBLE"),  # base_logit + season_offset + sum of contributions = logit of p_90
        ("p_reference", "DOUBLE"),  # probability of the reference customer, season offset included
        ("support", "BIGINT"),  # training customers in the same segment, class and tenure band
        ("data_quality_flags", "VARCHAR[]"),
        ("recommended_play", "VARCHAR"),
        ("play_en", "VARCHAR"),
        ("play_ar", "VARCHAR"),
        ("play_owner", "VARCHAR"),
        ("due_on", "DATE"),
        ("stop_rule", "VARCHAR"),
        ("stop_en", "VARCHAR"),
        ("stop_ar", "VARCHAR"),
        ("in_holdout", "BOOLEAN"),
        # left out of the draw of the holdout, as the company states in churn.toml
        ("is_excluded", "BOOLEAN"),
    ),
    # One row per kind of trade × day scored × model: which of churn_scores are in use, so that no reader has
    # to look through all of them (stage.py).
    "churn_scorings": (
        ("is_repeat_trade", "BOOLEAN"),  # of customers without a contract, else of accounts
        ("as_of", "DATE"),
        ("model_id", "VARCHAR"),
        ("scored_at", "TIMESTAMPTZ"),  # the newest of them
        (
            "is_in_use",
            "BOOLEAN",
        ),  # the last scored day, by the model in use, else by the one that scored last
        ("is_week_before", "BOOLEAN"),  # by the same model, the last day from 14 to 7 days before
    ),
    # One row per model, stage it reached (`trained`, `scoring`) and moment: the registry (decisions.py).
    "churn_models": (
        ("model_id", "VARCHAR"),
        ("stage", "VARCHAR"),
        ("candidate", "VARCHAR"),  # spline_logistic, additive_hgb, blend
        ("commitment_class", "VARCHAR"),  # non_contract, contract
        ("horizon_days", "BIGINT"),
        ("as_of", "DATE"),
        ("trained_from", "DATE"),
        ("trained_to", "DATE"),
        ("training_rows", "BIGINT"),
        ("training_customers", "BIGINT"),
        ("training_events", "BIGINT"),
        ("closed_origins", "BIGINT"),
        ("season_offset", "DOUBLE"),
        ("leak_gap", "DOUBLE"),  # AUC under a random split less AUC in time; shown only to warn
        ("headline", "VARCHAR"),  # model_wins or rule_wins
        ("metrics", "VARCHAR"),  # JSON: the champion's figures per test date and mean
        ("known_day_assumed", "BOOLEAN"),  # true where events were imported without the day they became known
        ("approved_by", "VARCHAR"),
        ("at", "TIMESTAMPTZ"),
        ("decision", "VARCHAR"),  # of a person: promoted, rolled_back; null by the champion rule
    ),
    # One row per candidate × test date × metric. test_on null = mean over the test dates.
    "churn_evaluation": (
        ("model_id", "VARCHAR"),
        ("candidate", "VARCHAR"),
        ("kind", "VARCHAR"),  # rule or model
        ("is_champion", "BOOLEAN"),
        ("split", "VARCHAR"),  # temporal; random only to print the leak gap
        ("test_on", "DATE"),  # s: features before s, label window [s, s + 90)
        ("metric", "VARCHAR"),  # auc, ap, brier, log_loss, ece, lift_10, revenue_10
        ("value", "DOUBLE"),
        ("low", "DOUBLE"),  # 95 % interval, bootstrap by customer
        ("high", "DOUBLE"),
        ("customers", "BIGINT"),
        ("events", "BIGINT"),
        ("base_rate", "DOUBLE"),
    ),
    # One row per candidate with probabilities × test date × bin of equal count.
    "churn_reliability": (
        ("model_id", "VARCHAR"),
        ("candidate", "VARCHAR"),
        ("is_champion", "BOOLEAN"),
        ("test_on", "DATE"),
        ("bin", "BIGINT"),
        ("customers", "BIGINT"),
        ("mean_p", "DOUBLE"),
        ("observed", "DOUBLE"),
    ),
    # One row per model, class, as-of day, measure and subject (monitoring.py): how given scores turned out,
    # and whether a run's inputs are those of training.
    "churn_monitoring": COLUMNS,
    # One row per play, and one for `all`: churn in the holdout less churn among the listed (effects.py).
    "churn_save_rates": (
        ("as_of", "DATE"),
        ("play", "VARCHAR"),
        ("play_en", "VARCHAR"),  # as the playbook calls it now; null for a play it no longer has
        ("play_ar", "VARCHAR"),
        ("listed", "BIGINT"),
        ("listed_left", "BIGINT"),
        ("holdout", "BIGINT"),
        ("holdout_left", "BIGINT"),
        ("excluded", "BIGINT"),
        ("value", "DOUBLE"),  # a share: 0.05 is five points; null where a group is empty
        ("low", "DOUBLE"),  # 95 % interval
        ("high", "DOUBLE"),
        ("is_enough", "BOOLEAN"),  # the interval is narrower than 20 points
    ),
    # One row per contact: the treatment log of app.db as it was when the build began (treatments.py).
    "churn_treatments": (
        ("treatment_id", "VARCHAR"),
        ("customer_id", "VARCHAR"),
        ("as_of", "DATE"),  # of the score that prompted it
        ("model_id", "VARCHAR"),
        ("play", "VARCHAR"),
        ("who", "VARCHAR"),
        ("contacted_at", "TIMESTAMPTZ"),
        ("channel", "VARCHAR"),
        ("outcome", "VARCHAR"),
        ("cost_minor", "BIGINT"),
        ("currency", "VARCHAR"),
        ("recorded_at", "TIMESTAMPTZ"),
    ),
    # One row per class (`contract`, `non_contract`) there is something to score of, or one row of neither:
    # what scoring did in this build and why.
    "churn_status": (
        ("as_of", "DATE"),
        ("commitment_class", "VARCHAR"),
        ("state", "VARCHAR"),  # scored, rule_only (too little data), withheld, nothing_to_score
        ("reason_code", "VARCHAR"),
        ("reason_en", "VARCHAR"),
        ("reason_ar", "VARCHAR"),
        ("model_id", "VARCHAR"),
        ("enough_data_on", "DATE"),  # when a refused model may be trained, where that can be said
        ("exit_code", "BIGINT"),  # 0, or 4 when refused for too little data
    ),
}


FRAME_TYPES: dict[str, pl.DataType] = {
    "VARCHAR": pl.String(),
    "DATE": pl.Date(),
    "TIMESTAMPTZ": pl.Datetime("us", "UTC"),
    "BIGINT": pl.Int64(),
    "DOUBLE": pl.Float64(),
    "BOOLEAN": pl.Boolean(),
}


def frame_types(table: str) -> dict[str, pl.DataType]:
    """The columns of a table of plain types as a frame has them."""
    return {name: FRAME_TYPES[data_type] for name, data_type in TABLES[table]}


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make schema `churn` anew with every table empty."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS churn")
    for table, columns in TABLES.items():
        body = ", ".join(f'"{name}" {data_type}' for name, data_type in columns)
        connection.execute(f"CREATE OR REPLACE TABLE churn.{table} ({body})")


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    """Append rows by column name; columns left out are null. Raises KeyError for a column the table lacks."""
    types = dict(TABLES[table])
    unknown = [name for name in rows.columns if name not in types]
    if unknown:
        raise KeyError(f"churn.{table} has no column {', '.join(unknown)}")
    if rows.is_empty():
        return
    # A column that is null throughout has no type of its own; the table gives it one.
    picked = ", ".join(f'CAST("{name}" AS {types[name]}) AS "{name}"' for name in rows.columns)
    connection.register("scored_rows", rows.to_arrow())
    try:
        connection.execute(f"INSERT INTO churn.{table} BY NAME SELECT {picked} FROM scored_rows")
    finally:
        connection.unregister("scored_rows")
