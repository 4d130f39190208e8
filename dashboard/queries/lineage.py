"""Where figures come from: what models are made from, what tests read, and the registry of metrics."""

from dashboard.queries import Query

MODELS = Query(
    "lineage_models",
    """
SELECT model, schema_name, kind, description, parents
FROM warehouse.raw_meta.models
ORDER BY model
""",
)

MODEL_SQL = Query("lineage_sql", "SELECT sql FROM warehouse.raw_meta.models WHERE model = $table")

TEST_RESULTS = Query(
    "lineage_tests",
    """
SELECT DISTINCT
  result.test_name, test.model, result.column_name, result.kind, result.status, result.failures, test.asks
FROM warehouse.raw_meta.test_results AS result
JOIN warehouse.raw_meta.test_models AS test USING (test_name)
ORDER BY result.status = 'pass', test.model, result.test_name
""",
)

REGISTRY = Query(
    "lineage_registry",
    """
SELECT
  metric_id, label_en, label_ar, definition_en, definition_ar, formula, unit, good_direction, owner, model,
  numerator, denominator, settings, since_version
FROM warehouse.marts.dim_metrics
ORDER BY metric_id
""",
)

METRIC_FIGURES = Query(
    "metric_figures",
    """
SELECT month, currency, segment, numerator, denominator, value, why_null, customers, is_provisional
FROM warehouse.marts.fct_metric_values
WHERE metric_id = $metric AND segment = 'all'
ORDER BY month DESC, currency
LIMIT 24
""",
)

SETTINGS = Query(
    "metric_settings",
    """
SELECT setting, value, default_value, is_default
FROM warehouse.marts.dim_policy
WHERE list_contains(string_split($settings, ', '), setting)
ORDER BY setting
""",
)
