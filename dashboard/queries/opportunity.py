"""Subscription opportunity: who buys like a subscriber, what it would bring, whether that came true."""

from dashboard.queries import Query

SUMMARY = Query(
    "opportunity_summary",
    "SELECT * FROM warehouse.marts.fct_opportunity_summary ORDER BY goods_revenue_minor DESC, currency",
    metric="expected_mrr",
)

PAIR_ROWS = Query(
    "opportunity_pairs",
    """
SELECT
  customer_id, sku, sku_name, country, purchase_days, median_gap_days, days_since_last, next_expected_on,
  net_spend_minor, potential_mrr, hit_rate_bp / 10000 AS hit_rate, expected_mrr, proposed_interval,
  proposed_interval_count, proposed_quantity
FROM warehouse.marts.fct_subscription_opportunity
WHERE currency = $currency
ORDER BY expected_mrr DESC NULLS LAST, potential_mrr DESC, customer_id, sku
""",
    metric="expected_mrr",
)

HAS_NAMES = Query(
    "opportunity_has_names",
    """
SELECT count(*) > 0
FROM (
  SELECT sku FROM warehouse.marts.fct_subscription_opportunity
  WHERE currency = $currency AND sku_name <> sku
  LIMIT 1
)
""",
)

CUSTOMER_ROWS = Query(
    "opportunity_customers",
    """
SELECT
  customer_id,
  any_value(country) AS country,
  count(*)::BIGINT AS pairs,
  min(next_expected_on) AS next_expected_on,
  sum(net_spend_minor)::BIGINT AS net_spend_minor,
  sum(potential_mrr) AS potential_mrr,
  sum(expected_mrr) AS expected_mrr
FROM warehouse.marts.fct_subscription_opportunity
WHERE currency = $currency
GROUP BY customer_id
ORDER BY sum(expected_mrr) DESC NULLS LAST, customer_id
""",
    metric="expected_mrr",
)

HIT_RATES = Query(
    "opportunity_hit_rates",
    """
SELECT
  purchase_days_class, pair_kind, pairs, hits, hits / nullif(pairs, 0) AS hit_rate, left_out_pairs,
  potential_mrr, measured_on
FROM warehouse.marts.fct_opportunity_hit_rates
WHERE currency = $currency
ORDER BY purchase_days_class = 'all', purchase_days_class, pair_kind DESC
""",
    metric="hit_rate",
)

HIT_CLASSES = Query(
    "opportunity_hit_classes",
    """
SELECT purchase_days_class, pairs, hits, hits / nullif(pairs, 0) AS hit_rate
FROM warehouse.marts.fct_opportunity_hit_rates
WHERE currency = $currency AND pair_kind = 'regular' AND purchase_days_class <> 'all'
ORDER BY purchase_days_class
""",
    metric="hit_rate",
)

PARTS = Query(
    "revenue_parts",
    """
SELECT part_no, part, is_predictable, revenue, total_revenue, revenue / nullif(total_revenue, 0) AS share,
  customers
FROM warehouse.marts.fct_revenue_predictability
WHERE currency = $currency
ORDER BY part_no
""",
    metric="predictable_share",
)

# What each customer adds to one of the parts.
PART_ROWS = Query(
    "revenue_part_rows",
    """
SELECT customer_id, order_days, revenue
FROM warehouse.marts.fct_customer_predictability
WHERE currency = $currency AND part = $part
ORDER BY revenue DESC, customer_id
""",
    metric="predictable_share",
)
