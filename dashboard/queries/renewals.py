"""Renewals: what is to be decided in the days to come, what is at stake, and how earlier ones came out."""

from dashboard.queries import Query
from dashboard.queries.churn import GIVEN, OWNER, STANDINGS

# A renewal is what of one subscription ends its term on one day. Amounts stand at the constant rate, in one
# currency. What is due already but may still renew in time is in it; its day lies before the first.
UPCOMING = f"""
{GIVEN.strip()},
{STANDINGS.strip()},
build AS (
  SELECT as_of FROM warehouse.raw_meta.build
),
due AS (
  SELECT
    renewals.subscription_id,
    renewals.customer_id,
    renewals.due_on,
    any_value(renewals.segment) AS segment,
    any_value(renewals.amount_currency) AS currency,
    min(renewals.notice_by_on) AS notice_by_on,
    bool_and(renewals.auto_renew) AS auto_renew,
    max(renewals.cancel_requested_on) AS cancel_requested_on,
    sum(renewals.mrr_before_constant)::DECIMAL(38, 16) AS mrr
  FROM warehouse.marts.fct_renewals AS renewals
  CROSS JOIN build
  WHERE renewals.outcome = 'undecided' AND renewals.due_on <= build.as_of + 90
  GROUP BY renewals.subscription_id, renewals.customer_id, renewals.due_on
),
renewals AS (
  SELECT
    due.*,
    coalesce(customer.name, due.customer_id) AS name,
    due.due_on - build.as_of AS days_left,
    date_trunc('week', due.due_on)::DATE AS week,
    {OWNER} AS owner,
    coalesce(standings.state, 'open') AS state,
    standings.touched_on,
    given.p_90,
    given.p_nonrenewal_next_term,
    given.reason_1.sentence_en AS reason_en,
    given.reason_1.sentence_ar AS reason_ar,
    given.as_of AS scored_for,
    given.model_id,
    given.recommended_play
  FROM due
  CROSS JOIN build
  LEFT JOIN warehouse.marts.dim_customers AS customer
    ON customer.customer_id = due.customer_id AND customer.is_current
  LEFT JOIN standings ON standings.customer_id = due.customer_id
  LEFT JOIN given ON given.customer_id = due.customer_id AND given.commitment_class <> 'non_contract'
),
chosen AS (
  SELECT *
  FROM renewals
  WHERE currency = $currency
    AND ($segment = 'all' OR segment = $segment)
    AND ($kind = 'all' OR ($kind = 'auto' AND auto_renew) OR ($kind = 'manual' AND auto_renew IS NOT TRUE))
    AND ($owner = 'all' OR ($owner = 'nobody' AND owner IS NULL)
      OR ($owner = 'mine' AND owner = $reader_owner))
)
"""

# `weeks` holds a week's first day (a Monday), or is null for every week.
ROWS = Query(
    "renewals_to_come",
    f"""
WITH {UPCOMING.strip()}
SELECT *
FROM chosen
WHERE days_left <= $days AND ($week::DATE IS NULL OR week = $week)
ORDER BY due_on, mrr DESC, customer_id, subscription_id
""",
    metric="renewals_due",
)

TOTALS = Query(
    "renewals_totals",
    f"""
WITH {UPCOMING.strip()}
SELECT horizon.days, count(chosen.due_on)::BIGINT AS renewals,
  count(DISTINCT chosen.customer_id)::BIGINT AS customers,
  coalesce(sum(chosen.mrr), 0)::DECIMAL(38, 16) AS mrr
FROM (VALUES (30), (60), (90)) AS horizon(days)
LEFT JOIN chosen ON chosen.days_left <= horizon.days
GROUP BY horizon.days
ORDER BY horizon.days
""",
    metric="renewals_due",
)

# Every week that the days reach into, those in which nothing comes up too.
WEEKS = Query(
    "renewals_by_week",
    f"""
WITH {UPCOMING.strip()},
weeks AS (
  SELECT unnest(generate_series(
    date_trunc('week', as_of + 1), date_trunc('week', as_of + $days), INTERVAL 1 WEEK
  ))::DATE AS week
  FROM build
  UNION
  SELECT week FROM chosen WHERE days_left <= $days
)
SELECT weeks.week, count(chosen.due_on)::BIGINT AS renewals,
  coalesce(sum(chosen.mrr), 0)::DECIMAL(38, 16) AS mrr,
  coalesce(sum(chosen.mrr) FILTER (chosen.auto_renew), 0)::DECIMAL(38, 16) AS auto_mrr,
  coalesce(sum(chosen.mrr) FILTER (chosen.auto_renew IS NOT TRUE), 0)::DECIMAL(38, 16) AS manual_mrr
FROM weeks
LEFT JOIN chosen ON chosen.week = weeks.week AND chosen.days_left <= $days
GROUP BY weeks.week
ORDER BY weeks.week
""",
    metric="renewals_due",
)

CURRENCIES = Query(
    "renewals_currencies",
    """
SELECT amount_currency AS currency, count(*)::BIGINT AS renewals
FROM warehouse.marts.fct_renewals
GROUP BY amount_currency
ORDER BY renewals DESC, currency
""",
)

SEGMENTS = Query(
    "renewals_segments",
    "SELECT DISTINCT segment FROM warehouse.marts.fct_renewals WHERE segment IS NOT NULL ORDER BY segment",
)

# Of the terms that ended in the 12 months up to the as-of day and are decided: how much of their MRR renewed.
PAST = Query(
    "renewals_past",
    """
SELECT
  coalesce(sum(renewals.mrr_before_constant), 0)::DECIMAL(38, 16) AS mrr_due,
  coalesce(sum(renewals.mrr_before_constant) FILTER (renewals.outcome = 'renewed'), 0)::DECIMAL(38, 16)
    AS mrr_renewed,
  count(*)::BIGINT AS renewals,
  count(*) FILTER (renewals.outcome = 'renewed')::BIGINT AS renewed
FROM warehouse.marts.fct_renewals AS renewals
CROSS JOIN warehouse.raw_meta.build AS build
WHERE renewals.outcome <> 'undecided' AND renewals.due_on > build.as_of - INTERVAL 12 MONTH
  AND renewals.amount_currency = $currency AND ($segment = 'all' OR renewals.segment = $segment)
""",
    metric="renewal_rate",
)

PAST_ROWS = Query(
    "renewals_past_rows",
    """
SELECT
  renewals.customer_id,
  coalesce(customer.name, renewals.customer_id) AS name,
  renewals.segment,
  renewals.subscription_item_id,
  renewals.due_on,
  renewals.decided_on,
  renewals.outcome,
  renewals.cause,
  renewals.mrr_before_constant AS mrr_due,
  if(renewals.outcome = 'renewed', renewals.mrr_before_constant, 0) AS mrr_renewed
FROM warehouse.marts.fct_renewals AS renewals
CROSS JOIN warehouse.raw_meta.build AS build
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = renewals.customer_id AND customer.is_current
WHERE renewals.outcome <> 'undecided' AND renewals.due_on > build.as_of - INTERVAL 12 MONTH
  AND renewals.amount_currency = $currency AND ($segment = 'all' OR renewals.segment = $segment)
ORDER BY renewals.due_on DESC, renewals.mrr_before_constant DESC, renewals.subscription_item_id
""",
    metric="renewal_rate",
)
