"""The tables of schema `churn`: what scoring leaves in the warehouse and what the dashboard reads.

Every build has all of them, perhaps empty. churn_status then says why. Amounts are minor units of `currency`,
probabilities are 0 to 1, points are probability points (0.09 is nine of a hundred).
"""

from __future__ import annotations

import duckdb
import polars as pl

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
    # A score is of kind `probability`, or of kind `rule`: then rule_points ranks and every p column is null.
    # non_contract customers have p_90 only; mrr_minor is null and yearly_revenue_minor stands in its place.
    # reason_1..3 are the strongest themes that raise the risk, protective_1 the strongest that lowers it.
    # contributions holds every feature: base_logit + season_offset + their sum = logit,
    # and their points sum to p_90 - p_reference.
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
        ("decision_on", "DATE"),
        ("rule_points", "BIGINT"),
        ("score_pct", "DOUBLE"),  # rank among the customers scored that day, 0 lowest risk, 100 highest
        ("band_capacity", "BOOLEAN"),  # among the top k of the team's week
        ("band_fixed", "VARCHAR"),  # high (p_90 >= .5), watch (>= .2), low; null for kind rule
        ("p_90_change", "DOUBLE"),  # against the last score by the same model; null across models
        ("mrr_minor", "BIGINT"),
        ("yearly_revenue_minor", "BIGINT"),  # net revenue of the 365 days up to as_of, at least 0
        ("currency", "VARCHAR"),
        ("revenue_at_risk_90_minor", "BIGINT"),  # p_90 × yearly revenue, rounded half up once
        ("expected_save_minor", "BIGINT"),  # null without a measured or stated save rate
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
        ("in_holdout", "BOOLEAN"),
    ),
    # One row per model and stage it reached (`trained`, `scoring`, `refused`): the registry.
    "churn_models": (
        ("model_id", "VARCHAR"),
        ("stage", "VARCHAR"),
        (
            "candidate",
            "VARCHAR",
        ),  # base_rate, recency_rule, points_score, spline_logistic, additive_hgb, blend
        ("commitment_class", "VARCHAR"),
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
    # One row: what scoring did in this build and why.
    "churn_status": (
        ("as_of", "DATE"),
        ("state", "VARCHAR"),  # scored, rule_only (too little data), nothing_to_score
        ("reason_code", "VARCHAR"),
        ("reason_en", "VARCHAR"),
        ("reason_ar", "VARCHAR"),
        ("model_id", "VARCHAR"),
        ("enough_data_on", "DATE"),  # when a refused model may be trained, where that can be said
        ("exit_code", "BIGINT"),  # 0, or 4 when refused for too little data
    ),
}


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
