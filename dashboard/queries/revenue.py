"""Subscription revenue: the month's figures, the bridge, receivables, and the rows behind each."""

from dataclasses import dataclass

from dashboard.queries import Query


@dataclass(frozen=True)
class Choices:
    """What a page of one metric can be about: its months, newest first, its currencies and segments."""

    months: Query
    currencies: Query
    segments: Query


def choices_of(metric_id: str) -> Choices:
    """The months, currencies and segments that a metric is known for."""
    known = f"FROM warehouse.marts.fct_metric_values\nWHERE metric_id = '{metric_id}'"
    return Choices(
        Query(
            f"{metric_id}_months",
            f"""
SELECT month, bool_or(is_provisional) AS is_provisional
{known} AND segment = 'all'
GROUP BY month
ORDER BY month DESC
""",
        ),
        Query(
            f"{metric_id}_currencies",
            f"SELECT DISTINCT currency\n{known} AND segment = 'all'\nORDER BY currency",
        ),
        Query(
            f"{metric_id}_segments",
            f"SELECT DISTINCT segment\n{known} AND segment <> 'all'\nORDER BY segment",
        ),
    )


CHOICES = choices_of("mrr")
MONTHS, CURRENCIES, SEGMENTS = CHOICES.months, CHOICES.currencies, CHOICES.segments

VALUES = Query(
    "metric_values",
    """
SELECT month, metric_id, numerator, denominator, value, why_null, customers
FROM warehouse.marts.fct_metric_values
WHERE month IN ($month, $compared) AND currency = $currency AND segment = $segment
ORDER BY month, metric_id
""",
)

CHANGES = Query(
    "metric_changes",
    """
SELECT metric_id, difference, low, high, verdict
FROM warehouse.marts.fct_metric_changes
WHERE month = $month AND earlier_month = $compared AND currency = $currency AND segment = $segment
ORDER BY metric_id
""",
)

RESTATED = Query(
    "metric_restatements",
    """
SELECT metric_id, first_numerator, first_denominator, numerator, denominator, first_printed_at, times_restated
FROM warehouse.marts.fct_restatements
WHERE month = $month AND currency = $currency AND segment = $segment
ORDER BY metric_id
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

PLANS = Query(
    "mrr_plans",
    """
SELECT cell.plan_id, coalesce(any_value(plan.plan_name), cell.plan_id) AS plan_name
FROM warehouse.marts.fct_mrr_months AS cell
LEFT JOIN warehouse.marts.dim_plans AS plan ON plan.plan_id = cell.plan_id
WHERE cell.month = $month
GROUP BY cell.plan_id
ORDER BY plan_name, cell.plan_id
""",
)

# Native amounts stand for themselves where a currency has no rate into the reporting currency.
_PARTS = """
WITH months AS (
  SELECT *, $currency = (
    SELECT value FROM warehouse.marts.dim_policy WHERE setting = 'reporting_currency'
  ) AS is_reporting
  FROM warehouse.marts.fct_mrr_months
  WHERE month = $month AND ($segment = 'all' OR segment = $segment) AND ($plan = 'all' OR plan_id = $plan)
),
parts AS (
  SELECT
    segment, plan_id, acquisition_channel,
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
)"""

BRIDGE = Query(
    "mrr_bridge",
    _PARTS
    + """,
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

# Behind one bar of the bridge: the segments, plans and channels that moved.
CELL_ROWS = Query(
    "mrr_bridge_cells",
    _PARTS
    + """,
moved AS (
  SELECT
    parts.segment, coalesce(plan.plan_name, parts.plan_id) AS plan_name, parts.acquisition_channel,
    CASE $category
      WHEN 'new' THEN parts.new
      WHEN 'expansion' THEN parts.expansion
      WHEN 'reactivation' THEN parts.reactivation
      WHEN 'contraction' THEN parts.contraction
      WHEN 'churn' THEN parts.churn
      WHEN 'entered' THEN parts.entered
      WHEN 'left' THEN parts."left"
      WHEN 'fx_impact' THEN parts.fx_impact
    END AS delta
  FROM parts
  LEFT JOIN warehouse.marts.dim_plans AS plan ON plan.plan_id = parts.plan_id
)
SELECT segment, plan_name, acquisition_channel, sum(delta) AS delta
FROM moved
WHERE delta <> 0
GROUP BY segment, plan_name, acquisition_channel
ORDER BY abs(sum(delta)) DESC, segment, plan_name, acquisition_channel
""",
    metric="mrr",
)

MRR_ROWS = Query(
    "mrr_rows",
    """
SELECT
  month.customer_id, customer.name, month.segment, plan.plan_name, balance.closing_mrr AS mrr,
  12 * balance.closing_mrr AS arr, 1::BIGINT AS is_paying
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

# Gains count reactivation unless the policy says otherwise (quick_ratio_gain).
MOVED_ROWS = Query(
    "moved_rows",
    """
SELECT
  month.customer_id, customer.name, month.segment, month.category,
  if(month.category IN ('new', 'expansion')
    OR (month.category = 'reactivation' AND policy.with_reactivation), month.delta_booked, 0) AS gained,
  if(month.category IN ('contraction', 'churn'), -month.delta_booked, 0) AS lost
FROM warehouse.marts.fct_customer_months AS month
CROSS JOIN (
  SELECT count(*) FILTER (setting = 'quick_ratio_gain' AND value = 'without_reactivation') = 0
    AS with_reactivation
  FROM warehouse.marts.dim_policy
) AS policy
LEFT JOIN warehouse.marts.dim_customers AS customer ON customer.customer_id = month.customer_id
  AND customer.is_current
WHERE month.month = $month AND month.currency = $currency AND month.category <> 'none'
  AND ($segment = 'all' OR month.segment = $segment)
ORDER BY abs(month.delta_booked) DESC, month.customer_id
""",
    metric="quick_ratio",
)

UNIT_ECONOMICS = Query(
    "unit_economics",
    """
SELECT
  closing_mrr, margin_mrr, closing_customers, mean_churn, sm_cost, new_customers, new_mrr, new_margin_mrr,
  margin_mrr * churn_months AS ltv_part, closing_customers * churn_sum AS ltv_base,
  ltv_formula AS ltv, cac
FROM warehouse.marts.fct_unit_economics
WHERE month = $month AND currency = $currency AND segment = $segment
ORDER BY month
""",
)
