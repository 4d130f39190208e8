"""Retention and cohorts of subscriptions: whether customers stay and expand."""

from dashboard.queries import Query

TREND = Query(
    "retention_trend",
    """
SELECT
  month,
  sum(end_mrr) / nullif(sum(start_mrr), 0) AS nrr,
  sum(kept_mrr) / nullif(sum(start_mrr), 0) AS grr,
  sum(lost_customers) / nullif(sum(start_customers), 0) AS logo_churn,
  sum(start_customers)::BIGINT AS start_customers
FROM warehouse.marts.fct_retention
WHERE window_months = $window_months AND currency = $currency AND ($segment = 'all' OR segment = $segment)
  AND month BETWEEN $month - INTERVAL 23 MONTH AND $month
GROUP BY month
HAVING sum(start_customers) >= $min_customers
ORDER BY month
""",
    metric="nrr_12m",
)

# A quarter's cohort has reached an age when the cohorts of all its months have.
COHORTS = Query(
    "cohorts",
    """
WITH cells AS (
  SELECT
    if($grain = 'quarter', date_trunc('quarter', cohort_month)::DATE, cohort_month) AS cohort_month,
    age_months,
    count(DISTINCT cohort_month) AS months_reached,
    sum(start_customers)::BIGINT AS start_customers,
    sum(customers)::BIGINT AS customers,
    sum(start_mrr) AS start_mrr,
    sum(net_mrr) AS net_mrr,
    sum(gross_mrr) AS gross_mrr
  FROM warehouse.marts.fct_cohorts
  WHERE currency = $currency AND ($segment = 'all' OR segment = $segment) AND NOT is_provisional
    AND cohort_month >= date_trunc('quarter', $month - INTERVAL 23 MONTH)
    AND cohort_month + to_months(age_months) <= $month
  GROUP BY ALL
)
SELECT cohort_month, age_months, start_customers, customers, start_mrr, net_mrr, gross_mrr
FROM cells
QUALIFY months_reached = max(months_reached) OVER (PARTITION BY cohort_month)
ORDER BY cohort_month, age_months
""",
    metric="cohort_logo",
)

# The start set of a window, each customer with what it paid at the opening and pays at the close.
START_SET_ROWS = Query(
    "start_set_rows",
    """
WITH opening AS (
  SELECT customer_id, segment, closing_mrr AS start_mrr
  FROM warehouse.marts.fct_customer_months
  WHERE month = $opening_month AND currency = $currency AND closing_mrr > 0
    AND ($segment = 'all' OR segment = $segment)
),
closing AS (
  SELECT customer_id, closing_mrr AS end_mrr
  FROM warehouse.marts.fct_customer_months
  WHERE month = $month AND currency = $currency
)
SELECT
  opening.customer_id,
  customer.name,
  opening.segment,
  opening.start_mrr,
  coalesce(closing.end_mrr, 0) AS end_mrr,
  least(opening.start_mrr, coalesce(closing.end_mrr, 0)) AS kept_mrr,
  opening.start_mrr - least(opening.start_mrr, coalesce(closing.end_mrr, 0)) AS lost_mrr,
  if(coalesce(closing.end_mrr, 0) = 0, 1, 0)::BIGINT AS is_lost
FROM opening
LEFT JOIN closing ON closing.customer_id = opening.customer_id
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = opening.customer_id AND customer.is_current
ORDER BY coalesce(closing.end_mrr, 0) - opening.start_mrr, opening.customer_id
""",
    metric="nrr_12m",
)

# Of a quarter's cohort only those whose own month has reached the age by the month looked at, as in its cell.
COHORT_ROWS = Query(
    "cohort_rows",
    """
WITH reached AS (
  SELECT DISTINCT cohort_month
  FROM warehouse.marts.fct_cohorts
  WHERE currency = $currency AND age_months = $age_months AND NOT is_provisional
    AND cohort_month + to_months(age_months) <= $month
),
cohort AS (
  SELECT customer_id, min(month) AS cohort_month
  FROM warehouse.marts.fct_customer_months
  WHERE currency = $currency AND closing_mrr > 0
  GROUP BY customer_id
),
at_start AS (
  SELECT month.customer_id, month.segment, cohort.cohort_month, month.closing_mrr AS start_mrr
  FROM warehouse.marts.fct_customer_months AS month
  JOIN cohort ON cohort.customer_id = month.customer_id AND cohort.cohort_month = month.month
  WHERE $cohort_month
      = if($grain = 'quarter', date_trunc('quarter', cohort.cohort_month), cohort.cohort_month)
    AND cohort.cohort_month IN (SELECT cohort_month FROM reached)
    AND month.currency = $currency AND ($segment = 'all' OR month.segment = $segment)
)
SELECT
  at_start.customer_id,
  customer.name,
  at_start.segment,
  at_start.cohort_month,
  at_start.start_mrr,
  coalesce(now.closing_mrr, 0) AS net_mrr,
  least(at_start.start_mrr, coalesce(now.closing_mrr, 0)) AS gross_mrr,
  if(coalesce(now.closing_mrr, 0) > 0, 1, 0)::BIGINT AS is_paying
FROM at_start
LEFT JOIN warehouse.marts.fct_customer_months AS now
  ON now.customer_id = at_start.customer_id
  AND now.month = at_start.cohort_month + to_months($age_months) AND now.currency = $currency
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = at_start.customer_id AND customer.is_current
ORDER BY net_mrr DESC, at_start.customer_id
""",
    metric="cohort_logo",
)
