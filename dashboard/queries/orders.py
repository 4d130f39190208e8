"""Repeat trade: revenue of orders, who comes back, cohorts by first order, and the rows behind each."""

from dashboard.queries import Query

MONTHS = Query(
    "order_months",
    """
SELECT order_month AS month, is_provisional
FROM warehouse.marts.fct_repeat_months
ORDER BY order_month DESC
""",
)

CURRENCIES = Query(
    "order_currencies",
    """
SELECT currency
FROM warehouse.marts.fct_order_months
GROUP BY currency
ORDER BY sum(sales_minor) DESC, currency
""",
)

COUNTRIES = Query(
    "order_countries", "SELECT DISTINCT country FROM warehouse.marts.fct_order_months ORDER BY country"
)

REVENUE = Query(
    "order_revenue",
    """
SELECT
  order_month AS month,
  sum(orders)::BIGINT AS orders,
  sum(credit_notes)::BIGINT AS credit_notes,
  sum(sales_minor)::BIGINT AS sales_minor,
  sum(credits_minor)::BIGINT AS credits_minor,
  sum(goods_minor)::BIGINT AS goods_minor,
  sum(other_minor)::BIGINT AS other_minor,
  sum(revenue_minor)::BIGINT AS revenue_minor
FROM warehouse.marts.fct_order_months
WHERE currency = $currency AND ($country = 'all' OR country = $country)
  AND order_month BETWEEN $month - INTERVAL 24 MONTH AND $month
GROUP BY order_month
ORDER BY order_month
""",
    metric="order_revenue",
)

BY_COUNTRY = Query(
    "order_revenue_by_country",
    """
SELECT country, orders, revenue_minor
FROM warehouse.marts.fct_order_months
WHERE currency = $currency AND order_month = $month AND ($country = 'all' OR country = $country)
ORDER BY revenue_minor DESC, country
LIMIT 10
""",
    metric="order_revenue",
)

REPEAT = Query(
    "repeat_rate",
    """
SELECT
  order_month AS month, orders, customers, new_customers, returning_customers, window_customers,
  repeat_customers,
  repeat_customers / nullif(window_customers, 0) AS repeat_rate, is_window_complete
FROM warehouse.marts.fct_repeat_months
WHERE order_month BETWEEN $month - INTERVAL 24 MONTH AND $month
ORDER BY order_month
""",
    metric="repeat_rate",
)

ORDER_ROWS = Query(
    "order_rows",
    """
SELECT
  order_id, customer_id, ordered_on, country, is_credit, lines, net_minor,
  if(is_credit, 0, 1)::BIGINT AS is_order
FROM warehouse.marts.fct_orders
WHERE order_month = $month AND currency = $currency AND ($country = 'all' OR country = $country)
ORDER BY net_minor DESC, order_id
""",
    metric="order_revenue",
)

CUSTOMER_ROWS = Query(
    "ordering_customers",
    """
WITH firsts AS (
  SELECT customer_id, min(order_month) AS first_month
  FROM warehouse.marts.fct_orders
  WHERE NOT is_credit
  GROUP BY customer_id
)
SELECT
  orders.customer_id,
  max(orders.country) AS country,
  count(*)::BIGINT AS orders,
  if(any_value(firsts.first_month) = $month, 1, 0)::BIGINT AS is_new
FROM warehouse.marts.fct_orders AS orders
JOIN firsts ON firsts.customer_id = orders.customer_id
WHERE orders.order_month = $month AND NOT orders.is_credit
GROUP BY orders.customer_id
ORDER BY count(*) DESC, orders.customer_id
""",
    metric="order_customers",
)

WINDOW_ROWS = Query(
    "repeat_rate_rows",
    """
WITH bounds AS (
  SELECT window_end_on FROM warehouse.marts.fct_repeat_months WHERE order_month = $month
)
SELECT
  orders.customer_id,
  count(DISTINCT orders.ordered_on)::BIGINT AS order_days,
  min(orders.ordered_on) AS first_on,
  max(orders.ordered_on) AS last_on,
  1::BIGINT AS is_customer,
  if(count(DISTINCT orders.ordered_on) >= 2, 1, 0)::BIGINT AS is_repeat
FROM warehouse.marts.fct_orders AS orders, bounds
WHERE NOT orders.is_credit
  AND orders.ordered_on > bounds.window_end_on - INTERVAL 365 DAY
    AND orders.ordered_on <= bounds.window_end_on
GROUP BY orders.customer_id
ORDER BY count(DISTINCT orders.ordered_on) DESC, orders.customer_id
""",
    metric="repeat_rate",
)

COHORTS = Query(
    "order_cohorts",
    """
WITH cells AS (
  SELECT
    cohort_month,
    age_months,
    order_month,
    cohort_customers,
    active_customers,
    revenue_minor,
    first_value(revenue_minor) OVER (PARTITION BY cohort_month ORDER BY age_months) AS first_revenue_minor
  FROM warehouse.marts.fct_order_cohorts
  WHERE currency = $currency AND NOT is_provisional AND order_month <= $month
)
SELECT *
FROM cells
WHERE cohort_month >= $month - INTERVAL 23 MONTH
ORDER BY cohort_month, age_months
""",
    metric="order_cohort_customers",
)

COHORT_ROWS = Query(
    "order_cohort_rows",
    """
WITH firsts AS (
  SELECT customer_id, min(order_month) AS cohort_month
  FROM warehouse.marts.fct_orders
  WHERE NOT is_credit AND currency = $currency
  GROUP BY customer_id
)
SELECT
  firsts.customer_id,
  1::BIGINT AS is_customer,
  coalesce(max(if(NOT orders.is_credit, 1, 0)), 0)::BIGINT AS is_active,
  count(orders.order_id) FILTER (NOT orders.is_credit)::BIGINT AS orders,
  coalesce(sum(orders.net_minor), 0)::BIGINT AS revenue_minor
FROM firsts
LEFT JOIN warehouse.marts.fct_orders AS orders
  ON orders.customer_id = firsts.customer_id AND orders.order_month = $month AND orders.currency = $currency
WHERE firsts.cohort_month = $cohort_month
GROUP BY firsts.customer_id
ORDER BY coalesce(sum(orders.net_minor), 0) DESC, firsts.customer_id
""",
    metric="order_cohort_customers",
)

# Only cohorts all of whose customers have been watched for 90 days.
SECOND_ORDERS = Query(
    "second_orders",
    """
SELECT
  cohort_month AS month,
  customers,
  returned_customers AS came_back,
  returned_customers / customers AS share
FROM warehouse.marts.fct_second_order_months
WHERE cohort_month BETWEEN $month - INTERVAL 24 MONTH AND $month AND is_watched
  AND customers >= $min_customers
ORDER BY cohort_month
""",
)
