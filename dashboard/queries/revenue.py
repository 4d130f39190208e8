"""Subscription revenue: the month's figures, the bridge, receivables, and the rows behind each."""

from dashboard.queries import Query

MONTHS = Query(
    "mrr_months",
    """
SELECT month, bool_or(is_provisional) AS is_provisional
FROM warehouse.marts.fct_metric_values
WHERE metric_id = 'mrr' AND segment = 'all'
GROUP BY month
ORDER BY month DESC
""",
)

CURRENCIES = Query(
    "mrr_currencies",
    """
SELECT DISTINCT currency
FROM warehouse.marts.fct_metric_values
WHERE metric_id = 'mrr' AND segment = 'all'
ORDER BY currency
""",
)

SEGMENTS = Query(
    "mrr_segments",
    """
SELECT DISTINCT segment
FROM warehouse.marts.fct_metric_values
WHERE metric_id = 'mrr' AND segment <> 'all'
ORDER BY segment
""",
)

VALUES = Query(
    "metric_values",
    """
SELECT month, metric_id, numerator, denominator, value, why_null, customers
FROM warehouse.marts.fct_metric_values
WHERE month IN ($month, $compared) AND currency = $currency AND segment = $segment
ORDER BY month, metric_id
""",
)

TREND = Query(
    "mrr_trend",
    """
SELECT month, numerator AS mrr
FROM warehouse.marts.fct_metric_values
WHERE metric_id = 'mrr' AND currency = $currency AND segment = $segment
  AND month BETWEEN $month - INTERVAL 23 MONTH AND $month
ORDER BY month
""",
    metric="mrr",
)

# Native amounts stand for themselves where a currency has no rate into the reporting currency.
BRIDGE = Query(
    "mrr_bridge",
    """
WITH months AS (
  SELECT *, $currency = (SELECT reporting_currency FROM warehouse.raw_meta.policy) AS is_reporting
  FROM warehouse.marts.fct_mrr_months
  WHERE month = $month AND ($segment = 'all' OR segment = $segment)
),
parts AS (
  SELECT
    if(is_reporting, opening_mrr, opening_mrr_native) AS opening,
    if(is_reporting, new_mrr, new_mrr_native) AS new,
    if(is_reporting, expansion_mrr, expansion_mrr_native) AS expansion,
    if(is_reporting, reactivation_mrr, reactivation_mrr_native) AS reactivation,
    if(is_reporting, contraction_mrr, contraction_mrr_native) AS contraction,
    if(is_reporting, churn_mrr, churn_mrr_native) AS churn,
    if(is_reporting, entered_mrr, entered_mrr_native) AS entered,
    if(is_reporting, left_mrr, left_mrr_native) AS "left",
    if(is_reporting, fx_impact, 0) AS fx_impact,
    if(is_reporting, closing_mrr, closing_mrr_native) AS closing
  FROM months
  WHERE is_reporting OR currency = $currency
),
totals AS (
  SELECT
    coalesce(sum(opening), 0) AS opening,
    coalesce(sum(new), 0) AS new,
    coalesce(sum(expansion), 0) AS expansion,
    coalesce(sum(reactivation), 0) AS reactivation,
    coalesce(sum(contraction), 0) AS contraction,
    coalesce(sum(churn), 0) AS churn,
    coalesce(sum(entered), 0) AS entered,
    coalesce(sum("left"), 0) AS "left",
    coalesce(sum(fx_impact), 0) AS fx_impact,
    coalesce(sum(closing), 0) AS closing
  FROM parts
)
SELECT
  *,
  closing - (opening + new + expansion + reactivation + contraction + churn + entered + "left" + fx_impact)
    AS unexplained
FROM totals
""",
    metric="mrr",
)

MRR_ROWS = Query(
    "mrr_rows",
    """
SELECT
  month.customer_id, customer.name, month.segment, plan.plan_name, balance.closing_mrr AS mrr
FROM warehouse.marts.fct_customer_months AS month
JOIN warehouse.marts.fct_customer_month_balances AS balance ON balance.customer_id = month.customer_id
  AND balance.month = month.month AND balance.currency = month.currency
LEFT JOIN warehouse.marts.dim_customers AS customer ON customer.customer_id = month.customer_id
  AND customer.is_current
LEFT JOIN warehouse.marts.dim_plans AS plan ON plan.plan_id = month.plan_id
WHERE month.month = $month AND month.currency = $currency
  AND ($segment = 'all' OR month.segment = $segment)
ORDER BY balance.closing_mrr DESC, month.customer_id
""",
    metric="mrr",
)

MOVEMENT_ROWS = Query(
    "movement_rows",
    """
SELECT
  month.customer_id, customer.name, month.segment,
  coalesce(balance.closing_mrr, 0) AS opening_mrr,
  month.delta_booked AS delta,
  coalesce(balance.closing_mrr, 0) + month.transferred_booked + month.delta_booked AS closing_mrr,
  month.main_reason, month.cause
FROM warehouse.marts.fct_customer_months AS month
LEFT JOIN warehouse.marts.fct_customer_month_balances AS balance ON balance.customer_id = month.customer_id
  AND balance.month = month.month - INTERVAL 1 MONTH AND balance.currency = month.currency
LEFT JOIN warehouse.marts.dim_customers AS customer ON customer.customer_id = month.customer_id
  AND customer.is_current
WHERE month.month = $month AND month.currency = $currency AND month.category = $category
  AND ($segment = 'all' OR month.segment = $segment)
ORDER BY abs(month.delta_booked) DESC, month.customer_id
""",
)

AGING = Query(
    "ar_aging",
    """
WITH newest AS (
  SELECT max(snapshot_on) AS snapshot_on FROM warehouse.marts.fct_ar_aging
)
SELECT
  aging.bucket,
  sum(aging.remaining_minor)::BIGINT AS remaining_minor,
  sum(aging.invoices)::BIGINT AS invoices
FROM warehouse.marts.fct_ar_aging AS aging
JOIN newest ON newest.snapshot_on = aging.snapshot_on
WHERE aging.bucket <> 'unapplied'
  AND aging.currency = $currency AND ($segment = 'all' OR aging.segment = $segment)
GROUP BY aging.bucket
ORDER BY list_position(['current', 'd1_30', 'd31_60', 'd61_90', 'd91_plus'], aging.bucket)
""",
    metric="ar_bucket",
)

INVOICE_ROWS = Query(
    "open_invoices",
    """
SELECT
  invoice.invoice_no, invoice.customer_id, customer.name, invoice.issued_on, invoice.due_on,
  invoice.days_past_due,
  invoice.total_minor, invoice.remaining_minor
FROM warehouse.marts.fct_invoices AS invoice
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = invoice.customer_id AND customer.is_current
WHERE invoice.currency = $currency AND invoice.remaining_minor <> 0
  AND invoice.days_past_due BETWEEN $days_from AND $days_to
  AND ($segment = 'all' OR invoice.segment = $segment)
ORDER BY invoice.days_past_due DESC, invoice.invoice_no
""",
    metric="ar_bucket",
)
