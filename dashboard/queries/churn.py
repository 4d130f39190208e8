"""Churn risk: the newest scores with their reasons, the model that gave them, and how good it has been."""

from dashboard.queries import Query

STATUS = Query(
    "churn_status",
    "SELECT state, reason_code, reason_en, reason_ar, enough_data_on FROM warehouse.churn.churn_status",
)


def _of_scorings(which: str) -> str:
    return f"""warehouse.churn.churn_scores AS score
  JOIN warehouse.churn.churn_scorings AS scoring
    ON scoring.{which}
    AND scoring.is_repeat_trade = (score.commitment_class = 'non_contract')
    AND scoring.as_of = score.as_of
    AND scoring.model_id = score.model_id"""


# The scores in use alone, of accounts and of repeat trade, and those of a week before by the same model: no
# other day is read. One list, one currency: unlike currencies are never added.
IN_USE, WEEK_BEFORE = _of_scorings("is_in_use"), _of_scorings("is_week_before")
GIVEN = f"""
given AS (
  SELECT score.* REPLACE (coalesce(score.list_name, 'now') AS list_name)
  FROM {IN_USE}
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
    metric="revenue_at_risk_90",
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
    f"""
SELECT DISTINCT score.segment
FROM {IN_USE}
WHERE score.segment IS NOT NULL
ORDER BY score.segment
""",
)

# The order of a list: by value, or by how likely each is to leave.
RANKED = """if($ranking = 'value', scores.value_rank, NULL) NULLS LAST,
  if($ranking = 'value', scores.revenue_at_risk_90_minor, NULL) DESC NULLS LAST, scores.score_pct DESC,
  scores.customer_id"""

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
  scores.reason_2.sentence_en AS reason_2_en,
  scores.reason_2.sentence_ar AS reason_2_ar,
  scores.reason_3.sentence_en AS reason_3_en,
  scores.reason_3.sentence_ar AS reason_3_ar,
  scores.decision_on,
  scores.as_of,
  scores.model_id,
  scores.in_holdout,
  if(scores.in_holdout, NULL, scores.play_en) AS play_en,
  if(scores.in_holdout, NULL, scores.play_ar) AS play_ar,
  if(scores.in_holdout, NULL, scores.play_owner) AS play_owner,
  if(scores.in_holdout, NULL, scores.due_on) AS due_on
FROM scores
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = scores.customer_id AND customer.is_current
WHERE $band = 'all' OR scores.band_fixed = $band
ORDER BY {RANKED}
""",
    metric="revenue_at_risk_90",
)

TOP_ROWS = Query("churn_top", RISK_ROWS.sql.rstrip() + "\nLIMIT $limit\n", metric="revenue_at_risk_90")

# Where the accounts stand that somebody acted on, from app.db: of each list one place a customer.
STANDINGS = """
standings AS (
  SELECT
    unnest($acted_customers::VARCHAR[]) AS customer_id,
    unnest($acted_states::VARCHAR[]) AS state,
    unnest($acted_owners::VARCHAR[]) AS owner,
    unnest($acted_until::DATE[]) AS snoozed_until,
    unnest($acted_touched::DATE[]) AS touched_on,
    unnest($acted_next::DATE[]) AS next_on
)
"""

# Who looks after a customer: to whom it was assigned here, else whom the CRM names.
OWNER = (
    """if(standings.owner IS NOT NULL, nullif(standings.owner, ''), coalesce(customer.csm, customer.owner))"""
)

# The days of a week before that there are scores of, those of accounts first.
DAYS_BEFORE = Query(
    "churn_days_before",
    "SELECT as_of FROM warehouse.churn.churn_scorings WHERE is_week_before ORDER BY is_repeat_trade",
)

# Whose accounts are asked for: `looked_after_by` is a name, empty for nobody, null for all of them. What was
# assigned here goes before whom the CRM names. Of the accounts of others nothing is read.
LOOKED_AFTER = """
looked_after AS (
  SELECT customer_id
  FROM warehouse.marts.dim_customer_owners WHERE owner = $looked_after_by::VARCHAR
    AND customer_id NOT IN (SELECT customer_id FROM standings WHERE owner IS NOT NULL)
  UNION ALL
  SELECT customer_id FROM standings WHERE owner = $looked_after_by::VARCHAR
)
"""


def of_owner(customer_id: str) -> str:
    """Whether a customer is among those of the owner that is asked for."""
    return f"""($looked_after_by::VARCHAR IS NULL
      OR {customer_id} IN (SELECT customer_id FROM looked_after))"""


# The list as it is worked through, first by what decides who stands on it: who looks after the account, and
# where it stands.
LISTED = f"""
{STANDINGS.strip()},
{LOOKED_AFTER.strip()},
listed AS (
  SELECT score.customer_id, score.as_of, score.model_id, score.value_rank, score.revenue_at_risk_90_minor,
    score.score_pct
  FROM {IN_USE}
  LEFT JOIN standings ON standings.customer_id = score.customer_id
  WHERE ($segment = 'all' OR score.segment = $segment)
    AND coalesce(score.list_name, 'now') = $list_name
    AND score.currency = $currency
    AND ($band = 'all' OR score.band_fixed = $band)
    AND ($state = 'all' OR coalesce(standings.state, 'open') = $state)
    AND {of_owner("score.customer_id")}
)
"""

WORK_COUNT = Query(
    "churn_work_count",
    f"""
WITH {LISTED.strip()}
SELECT count(*)::BIGINT AS customers FROM listed
""",
    metric="revenue_at_risk_90",
)

# A page of it, with when each account was last touched and what changed within a week. No contact is prompted
# with who is held out, put off or done.
WORK_ROWS = Query(
    "churn_work_list",
    f"""
WITH {LISTED.strip()},
page AS (
  SELECT *
  FROM listed AS scores
  ORDER BY {RANKED}
  LIMIT $limit OFFSET $offset
),
earlier AS (
  SELECT score.customer_id, score.model_id, score.p_90
  FROM {WEEK_BEFORE}
)
SELECT
  scores.customer_id,
  coalesce(customer.name, scores.customer_id) AS name,
  scores.segment,
  scores.commitment_class,
  scores.cause,
  scores.p_90,
  scores.p_90 - earlier.p_90 AS change_7_days,
  scores.p_nonrenewal_next_term,
  scores.rule_points,
  scores.band_fixed,
  scores.yearly_revenue_minor,
  scores.mrr_minor,
  scores.revenue_at_risk_90_minor,
  scores.expected_save_minor,
  scores.reason_1.sentence_en AS reason_en,
  scores.reason_1.sentence_ar AS reason_ar,
  scores.reason_2.sentence_en AS reason_2_en,
  scores.reason_2.sentence_ar AS reason_2_ar,
  scores.reason_3.sentence_en AS reason_3_en,
  scores.reason_3.sentence_ar AS reason_3_ar,
  scores.decision_on,
  scores.in_holdout,
  scores.as_of,
  scores.model_id,
  scores.recommended_play,
  {OWNER} AS owner,
  coalesce(standings.state, 'open') AS state,
  standings.touched_on,
  if(scores.in_holdout, NULL, scores.play_en) AS play_en,
  if(scores.in_holdout, NULL, scores.play_ar) AS play_ar,
  if(scores.in_holdout, NULL, scores.play_owner) AS play_owner,
  CASE
    WHEN scores.in_holdout OR standings.state = 'done' THEN NULL
    WHEN standings.state = 'snoozed' THEN standings.snoozed_until
    WHEN standings.state = 'contacted' THEN standings.next_on
    ELSE scores.due_on
  END AS due_on
FROM page
JOIN warehouse.churn.churn_scores AS scores
  ON scores.customer_id = page.customer_id AND scores.as_of = page.as_of AND scores.model_id = page.model_id
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = page.customer_id AND customer.is_current
LEFT JOIN standings ON standings.customer_id = page.customer_id
LEFT JOIN earlier ON earlier.customer_id = page.customer_id AND earlier.model_id = page.model_id
ORDER BY {RANKED}
""",
    metric="revenue_at_risk_90",
)

# Who came onto the 90-day list or left it within a week, and who crossed the line to high risk.
CHANGED = f"""
scores AS (
  SELECT score.customer_id, score.segment, score.p_90, score.band_fixed, score.revenue_at_risk_90_minor
  FROM {IN_USE}
  WHERE coalesce(score.list_name, 'now') = 'now' AND score.currency = $currency
),
earlier AS (
  SELECT score.customer_id, score.segment, score.p_90, score.band_fixed, score.revenue_at_risk_90_minor
  FROM {WEEK_BEFORE}
  WHERE coalesce(score.list_name, 'now') = 'now' AND score.currency = $currency
),
pairs AS (
  SELECT
    coalesce(scores.customer_id, earlier.customer_id) AS customer_id,
    coalesce(scores.segment, earlier.segment) AS segment,
    coalesce(scores.revenue_at_risk_90_minor, earlier.revenue_at_risk_90_minor) AS revenue_at_risk_90_minor,
    earlier.p_90 AS p_before,
    scores.p_90,
    CASE
      WHEN scores.customer_id IS NULL THEN 'gone'
      WHEN earlier.customer_id IS NULL THEN 'new'
      WHEN scores.band_fixed = 'high' AND earlier.band_fixed IS DISTINCT FROM 'high' THEN 'risen'
      WHEN earlier.band_fixed = 'high' AND scores.band_fixed IS DISTINCT FROM 'high' THEN 'fallen'
    END AS change
  FROM scores
  FULL JOIN earlier ON earlier.customer_id = scores.customer_id
),
changed AS (
  SELECT *, p_90 - p_before AS change_7_days
  FROM pairs
  WHERE change IS NOT NULL AND ($segment = 'all' OR segment = $segment)
)
"""

CHANGE_ROWS = Query(
    "churn_changes",
    f"""
WITH {CHANGED.strip()}
SELECT changed.*, coalesce(customer.name, changed.customer_id) AS name
FROM changed
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = changed.customer_id AND customer.is_current
WHERE $change = 'all' OR changed.change = $change
ORDER BY changed.revenue_at_risk_90_minor DESC NULLS LAST, changed.customer_id
""",
)

CHANGES = Query(
    "churn_change_counts",
    f"""
WITH {CHANGED.strip()}
SELECT change, count(*)::BIGINT AS customers FROM changed GROUP BY change ORDER BY change
""",
)

# Who came to high risk within a week: who a week before was not, or had no score. Where nothing was scored a
# week before nobody did. No contact is prompted with who is held out.
NEWLY_HIGH = Query(
    "churn_newly_high",
    f"""
WITH scores AS (
  SELECT score.*
  FROM {IN_USE}
  WHERE coalesce(score.list_name, 'now') = 'now' AND score.band_fixed = 'high'
    AND NOT coalesce(score.in_holdout, false)
),
earlier AS (
  SELECT score.customer_id, score.p_90, score.band_fixed
  FROM {WEEK_BEFORE}
  WHERE coalesce(score.list_name, 'now') = 'now'
),
compared AS (
  SELECT is_repeat_trade FROM warehouse.churn.churn_scorings WHERE is_week_before
)
SELECT
  scores.customer_id,
  coalesce(customer.name, scores.customer_id) AS name,
  earlier.p_90 AS p_before,
  scores.p_90,
  scores.revenue_at_risk_90_minor,
  scores.currency,
  scores.reason_1.sentence_en AS reason_en,
  scores.reason_1.sentence_ar AS reason_ar,
  scores.reason_2.sentence_en AS reason_2_en,
  scores.reason_2.sentence_ar AS reason_2_ar,
  scores.reason_3.sentence_en AS reason_3_en,
  scores.reason_3.sentence_ar AS reason_3_ar,
  scores.as_of,
  scores.model_id
FROM scores
LEFT JOIN earlier ON earlier.customer_id = scores.customer_id
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = scores.customer_id AND customer.is_current
WHERE earlier.band_fixed IS DISTINCT FROM 'high'
  AND (scores.commitment_class = 'non_contract') IN (SELECT is_repeat_trade FROM compared)
ORDER BY scores.revenue_at_risk_90_minor DESC NULLS LAST, scores.customer_id
LIMIT $limit
""",
)

# Of the last list whose 90 days have closed, how many of each band left, beside what the scores had expected.
CLOSED_LIST = Query(
    "churn_closed_list",
    """
SELECT as_of, model_id, commitment_class, subject, customers, expected, observed, value, low, high
FROM warehouse.churn.churn_monitoring
WHERE measure = 'observed_over_expected' AND (subject = 'all' OR starts_with(subject, 'band:'))
QUALIFY dense_rank() OVER (PARTITION BY model_id, commitment_class ORDER BY as_of DESC, measured_on DESC) = 1
ORDER BY as_of DESC, commitment_class, subject = 'all', subject
LIMIT 20
""",
)

# What contacting did, by play: churn in the comparison group less churn among the listed, and how many of the
# listed were contacted at all (which the rate leaves out on purpose: it compares those drawn).
SAVE_RATES = Query(
    "churn_save_rates",
    """
WITH contacts AS (
  SELECT play, count(*)::BIGINT AS contacts, count(DISTINCT customer_id)::BIGINT AS contacted
  FROM warehouse.churn.churn_treatments
  GROUP BY play
  UNION ALL
  SELECT 'all', count(*)::BIGINT, count(DISTINCT customer_id)::BIGINT FROM warehouse.churn.churn_treatments
)
SELECT rates.play, rates.play_en, rates.play_ar, rates.listed, rates.listed_left, rates.holdout,
  rates.holdout_left, rates.value, rates.low, rates.high, rates.is_enough,
  coalesce(contacts.contacts, 0) AS contacts, coalesce(contacts.contacted, 0) AS contacted
FROM warehouse.churn.churn_save_rates AS rates
LEFT JOIN contacts ON contacts.play = rates.play
ORDER BY rates.play = 'all', rates.play
""",
)

# Who looks after accounts, to choose from; and the one whose name begins with what was written, or has it.
OWNERS = Query("customer_owners", "SELECT owner FROM warehouse.marts.dim_owners ORDER BY owner LIMIT $limit")

OWNER_CALLED = Query(
    "customer_owner_called",
    """
SELECT owner
FROM warehouse.marts.dim_owners
WHERE contains(lower(owner), lower($asked))
ORDER BY lower(owner) = lower($asked) DESC, starts_with(lower(owner), lower($asked)) DESC, owner
LIMIT 1
""",
)

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
    metric="calibration",
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
