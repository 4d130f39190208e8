"""Churn risk: the newest scores with their reasons, the model that gave them, and how good it has been."""

from dashboard.queries import Query

STATUS = Query(
    "churn_status",
    "SELECT state, reason_code, reason_en, reason_ar, enough_data_on FROM warehouse.churn.churn_status",
)

# The newest scores alone: of accounts and of repeat trade those of the last scored day, by the model in use,
# else by the one that scored last. One list, one currency: unlike currencies are never added.
GIVEN = """
scorings AS (
  SELECT commitment_class = 'non_contract' AS is_repeat_trade, as_of, model_id, max(scored_at) AS scored_at
  FROM warehouse.churn.churn_scores
  GROUP BY ALL
),
newest AS (
  SELECT is_repeat_trade, as_of, model_id
  FROM scorings
  QUALIFY row_number() OVER (
    PARTITION BY is_repeat_trade
    ORDER BY as_of DESC, model_id IN (SELECT model_id FROM warehouse.churn.churn_status) DESC, scored_at DESC
  ) = 1
),
given AS (
  SELECT score.* REPLACE (coalesce(score.list_name, 'now') AS list_name)
  FROM warehouse.churn.churn_scores AS score
  JOIN newest
    ON newest.is_repeat_trade = (score.commitment_class = 'non_contract')
    AND newest.as_of = score.as_of
    AND newest.model_id = score.model_id
)
"""
NEWEST = f"""{GIVEN.rstrip()},
scores AS (
  SELECT *
  FROM given
  WHERE ($segment = 'all' OR segment = $segment) AND list_name = $list_name AND currency = $currency
)
"""

SUMMARY = Query(
    "churn_summary",
    f"""
WITH {NEWEST}
SELECT
  max(as_of) AS as_of,
  max(scored_at) AS scored_at,
  max(model_id) AS model_id,
  max(currency) AS currency,
  count(*)::BIGINT AS customers,
  count(*) FILTER (band_fixed = 'high')::BIGINT AS high,
  count(*) FILTER (band_fixed = 'watch')::BIGINT AS watch,
  count(p_90)::BIGINT AS with_probability,
  count(p_90_change)::BIGINT AS with_change,
  sum(p_90) AS expected_leavers,
  sum(revenue_at_risk_90_minor)::BIGINT AS revenue_at_risk_minor,
  bool_and(commitment_class = 'non_contract') AS is_repeat_trade,
  bool_and(list_name = 'leaving') AS is_leaving,
  bool_and(list_name = 'later') AS is_later,
  count(expected_save_minor)::BIGINT AS with_saving
FROM scores
""",
    metric="mrr_at_risk",
)

PARTS = Query(
    "churn_parts",
    f"""
WITH {GIVEN}
SELECT currency, list_name, count(*)::BIGINT AS customers
FROM given
GROUP BY ALL
ORDER BY customers DESC, currency, list_name
""",
)

SEGMENTS = Query(
    "churn_segments",
    "SELECT DISTINCT segment FROM warehouse.churn.churn_scores WHERE segment IS NOT NULL ORDER BY segment",
)

# Who is held out has no play: no contact is prompted by the score.
RISK_ROWS = Query(
    "churn_list",
    f"""
WITH {NEWEST}
SELECT
  scores.customer_id,
  coalesce(customer.name, scores.customer_id) AS name,
  scores.segment,
  scores.commitment_class,
  scores.cause,
  scores.p_90,
  scores.p_90_change,
  scores.p_nonrenewal_next_term,
  scores.value_rank,
  scores.rule_points,
  scores.band_fixed,
  scores.yearly_revenue_minor,
  scores.mrr_minor,
  scores.revenue_at_risk_90_minor,
  scores.expected_save_minor,
  scores.currency,
  scores.reason_1.sentence_en AS reason_en,
  scores.reason_1.sentence_ar AS reason_ar,
  scores.decision_on,
  scores.in_holdout,
  if(scores.in_holdout, NULL, scores.play_en) AS play_en,
  if(scores.in_holdout, NULL, scores.play_ar) AS play_ar,
  if(scores.in_holdout, NULL, scores.play_owner) AS play_owner,
  if(scores.in_holdout, NULL, scores.due_on) AS due_on
FROM scores
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = scores.customer_id AND customer.is_current
WHERE $band = 'all' OR scores.band_fixed = $band
ORDER BY if($ranking = 'value', scores.value_rank, NULL) NULLS LAST,
  if($ranking = 'value', scores.revenue_at_risk_90_minor, NULL) DESC NULLS LAST, scores.score_pct DESC,
  scores.customer_id
""",
    metric="mrr_at_risk",
)

TOP_ROWS = Query("churn_top", RISK_ROWS.sql.rstrip() + "\nLIMIT $limit\n", metric="mrr_at_risk")

CUSTOMER = Query(
    "churn_customer",
    f"""
WITH {NEWEST},
reasons AS (
  SELECT customer_id, 1 AS place, reason_1 AS reason FROM scores
  UNION ALL SELECT customer_id, 2, reason_2 FROM scores
  UNION ALL SELECT customer_id, 3, reason_3 FROM scores
  UNION ALL SELECT customer_id, 4, protective_1 FROM scores
)
SELECT
  reasons.place,
  reasons.reason.sentence_en AS sentence_en,
  reasons.reason.sentence_ar AS sentence_ar,
  reasons.reason.points AS points
FROM reasons
WHERE reasons.customer_id = $customer_id AND reasons.reason IS NOT NULL
ORDER BY reasons.place
""",
)

ONE_SCORE = Query(
    "churn_score",
    f"""
WITH {NEWEST}
SELECT
  scores.customer_id, scores.as_of, scores.model_id, scores.p_90, scores.p_reference, scores.band_fixed,
  scores.cause, coalesce(scores.p_cause_90, scores.p_90) AS p_cause_90,
  scores.support,
  scores.in_holdout
FROM scores
WHERE scores.customer_id = $customer_id
""",
)

EVALUATION = Query(
    "churn_evaluation",
    """
SELECT evaluation.candidate, evaluation.is_champion, evaluation.metric, evaluation.value, evaluation.low,
  evaluation.high,
  evaluation.customers, evaluation.base_rate
FROM warehouse.churn.churn_evaluation AS evaluation
WHERE evaluation.model_id = $model_id AND evaluation.test_on IS NULL AND evaluation.split = 'temporal'
ORDER BY evaluation.is_champion DESC, evaluation.candidate, evaluation.metric
""",
)

RELIABILITY = Query(
    "churn_reliability",
    """
SELECT
  reliability.bin,
  sum(reliability.customers)::BIGINT AS customers,
  sum(reliability.mean_p * reliability.customers) / sum(reliability.customers) AS predicted,
  sum(reliability.observed * reliability.customers) / sum(reliability.customers) AS observed
FROM warehouse.churn.churn_reliability AS reliability
WHERE reliability.model_id = $model_id AND reliability.is_champion AND reliability.test_on IS NOT NULL
GROUP BY reliability.bin
ORDER BY reliability.bin
""",
)

# The model that scores, one row a class.
MODELS = Query(
    "churn_models",
    """
SELECT model_id, commitment_class, candidate, headline, trained_from, trained_to, training_rows,
training_events FROM warehouse.churn.churn_models
WHERE stage = 'scoring'
QUALIFY row_number() OVER (PARTITION BY commitment_class ORDER BY "at" DESC) = 1
ORDER BY commitment_class
""",
)
