"""The tables of the schema `churn`: what a scoring run leaves in the warehouse.

`churn_scores` and `churn_models` are append-only: rows are written once and kept as Parquet files under the
company's history; the tables are loaded from them and grow by the run's new rows. `churn_evaluation` and
`churn_reliability` describe the newest model; `churn_status` says in one row what the last run did, or why
it did nothing.

Shares and probabilities are DOUBLE in 0..1. `_minor` columns are whole minor units, rounded half up once.
For repeat trade (`commitment_class` = non_contract) there is one 90-day probability and no MRR: the other
horizons, causes and contract columns are null, and revenue at risk = p_90 x net revenue of the last 365
days.
"""

from __future__ import annotations

import duckdb

_REASON = (
    "STRUCT(feature VARCHAR, family VARCHAR, value DOUBLE, unit VARCHAR, typical DOUBLE, "
    "direction VARCHAR, logit DOUBLE, points DOUBLE, sentence_key VARCHAR, text_en VARCHAR, "
    "text_ar VARCHAR)"
)
"""A reason: the strongest feature of its group, what it is and typically is (median of the training
customers), whether it raises or lowers the risk, the group's contribution to the logit and in points (the
points of all groups sum to p_90 - p_reference), and the sentence in both languages. `value` null: no
history."""

TABLES: dict[str, str] = {
    # one row per customer, as-of day and model
    "churn_scores": f"""
        customer_id VARCHAR NOT NULL, as_of DATE NOT NULL, model_id VARCHAR NOT NULL,
        scored_at TIMESTAMPTZ, segment VARCHAR, commitment_class VARCHAR, p_30 DOUBLE, p_90 DOUBLE,
        p_180 DOUBLE, p_365 DOUBLE, p_voluntary_90 DOUBLE, p_involuntary_90 DOUBLE,
        p_nonrenewal_next_term DOUBLE, likely_month DATE, likely_month_p DOUBLE,
        median_days_to_churn INTEGER, decision_on DATE, score_pct INTEGER, band_capacity VARCHAR,
        band_fixed VARCHAR, p_90_change DOUBLE, mrr_minor BIGINT, currency VARCHAR,
        revenue_365_minor BIGINT, revenue_at_risk_90_minor BIGINT, expected_save_minor BIGINT,
        reason_1 {_REASON}, reason_2 {_REASON}, reason_3 {_REASON}, protective_1 {_REASON},
        p_reference DOUBLE, base_logit DOUBLE, season_offset DOUBLE, support BIGINT,
        data_quality_flags VARCHAR, recommended_play VARCHAR, play_owner VARCHAR, due_on DATE,
        in_holdout BOOLEAN, points_score INTEGER""",
    # one row per model and stage it entered
    "churn_models": """
        model_id VARCHAR NOT NULL, stage VARCHAR, champion VARCHAR, approved_by VARCHAR,
        entered_at TIMESTAMPTZ, trained_as_of DATE, rows_trained BIGINT, events_trained BIGINT,
        first_snapshot DATE, last_snapshot DATE, auc DOUBLE, average_precision DOUBLE, brier DOUBLE,
        ece DOUBLE, report VARCHAR""",
    # one row per candidate, test date (null: mean of all) and metric; low and high: 95 % bootstrap
    "churn_evaluation": """
        model_id VARCHAR NOT NULL, candidate VARCHAR, is_champion BOOLEAN, test_date DATE,
        metric VARCHAR, value DOUBLE, low DOUBLE, high DOUBLE, customers BIGINT, base_rate DOUBLE""",
    # one row per bin of equal count of the champion's probabilities over all test dates
    "churn_reliability": """
        model_id VARCHAR NOT NULL, bin INTEGER, customers BIGINT, predicted DOUBLE, observed DOUBLE""",
    # one row: scored, refused (too little history, the points score stands in) or empty (nothing to score)
    "churn_status": """
        as_of DATE, status VARCHAR, reason_en VARCHAR, reason_ar VARCHAR, model_id VARCHAR""",
}


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the schema `churn` and its tables anew, empty."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS churn")
    for name, columns in TABLES.items():
        connection.execute(f"CREATE OR REPLACE TABLE churn.{name} ({columns})")
