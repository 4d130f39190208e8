"""The build itself: its day, its sources, its tests, the registry of metrics."""

from dashboard.queries import Query

BUILD = Query(
    "build",
    """
SELECT
  build.as_of,
  build.built_at,
  build.is_sample,
  build.has_billing AS has_subscriptions,
  build.has_orders,
  policy.reporting_currency,
  policy.min_customers,
  (SELECT count(*) FROM warehouse.raw_meta.test_results AS test
   WHERE test.build_id = build.build_id AND test.status IN ('fail', 'error'))::BIGINT AS failed_tests,
  (SELECT count(*) FROM warehouse.raw_meta.test_results AS test
   WHERE test.build_id = build.build_id AND test.status = 'warn')::BIGINT AS warned_tests
FROM warehouse.raw_meta.build AS build, warehouse.raw_meta.policy AS policy
""",
)

CURRENCIES = Query("currencies", "SELECT code, exponent FROM warehouse.raw_meta.currencies ORDER BY code")

METRICS = Query(
    "metrics",
    """
SELECT metric_id, label_en, label_ar, definition_en, definition_ar, formula, unit, good_direction
FROM warehouse.marts.dim_metrics
ORDER BY metric_id
""",
)

FAILED_TESTS = Query(
    "failed_tests",
    """
SELECT test_name, model
FROM warehouse.raw_meta.test_results
WHERE status IN ('fail', 'error')
ORDER BY model, test_name
""",
)

CUSTOMER = Query(
    "customer",
    "SELECT customer_id FROM warehouse.marts.dim_customers WHERE customer_id = $customer LIMIT 1",
)

ANY_CUSTOMER = Query("any_customer", "SELECT customer_id FROM warehouse.marts.dim_customers LIMIT 1")
