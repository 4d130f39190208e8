"""Data health: what was loaded and set aside, which tests ran, which definitions are in force."""

from dashboard.queries import Query

FRESHNESS = Query(
    "freshness",
    """
SELECT
  source_name,
  any_value(source_kind) AS source_kind,
  max(finished_at) AS last_load,
  max(finished_at) FILTER (rows_accepted > 0) AS last_new,
  list(DISTINCT regexp_replace(split_part(target_table, '.', 1), '^raw_', '')) AS raw_schemas
FROM warehouse.raw_meta.loads
GROUP BY source_name
ORDER BY source_name
""",
)

LOADS = Query(
    "loads",
    """
WITH newest AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY source_name, target_table, file_name ORDER BY load_id DESC) AS place
  FROM warehouse.raw_meta.loads
)
SELECT
  source_name, source_kind, target_table, file_name, rows_read, rows_accepted, rows_rejected,
  rows_unchanged, note,
  rows_accepted + rows_rejected = rows_read AS adds_up
FROM newest
WHERE place = 1
ORDER BY source_name, target_table, file_name
""",
)

REJECT_REASONS = Query(
    "reject_reasons",
    """
SELECT reason, target_table, count(*)::BIGINT AS reject_count, sum(amount_minor)::BIGINT AS amount_minor
FROM warehouse.raw_meta.rejects
GROUP BY reason, target_table
ORDER BY reject_count DESC, reason, target_table
""",
)

REJECT_ROWS = Query(
    "rejects",
    """
SELECT target_table, file_name, row_number, row_key, reason, column_name, amount_minor, original_row
FROM warehouse.raw_meta.rejects
WHERE $reason = 'all' OR reason || ' ' || target_table = $reason
ORDER BY target_table, file_name, row_number
""",
)

TESTS = Query(
    "test_counts",
    """
SELECT
  count(*) FILTER (status = 'pass')::BIGINT AS passed,
  count(*) FILTER (status IN ('fail', 'error'))::BIGINT AS failed,
  count(*) FILTER (status = 'warn')::BIGINT AS warned,
  count(*)::BIGINT AS test_count
FROM warehouse.raw_meta.test_results
""",
)

TEST_ROWS = Query(
    "tests",
    """
SELECT test_name, model, column_name, kind, status, failures, message
FROM warehouse.raw_meta.test_results
ORDER BY status = 'pass', model, test_name
""",
)

POLICY = Query(
    "policy",
    """
SELECT setting, value, default_value, is_default, definition_version, policy_hash
FROM warehouse.marts.dim_policy
ORDER BY is_default, setting
""",
)

FAILURES = Query(
    "test_failures",
    """
SELECT DISTINCT result.test_name, result.model, result.status, result.failures, result.message, test.asks
FROM warehouse.raw_meta.test_results AS result
LEFT JOIN warehouse.raw_meta.test_models AS test USING (test_name)
WHERE result.status <> 'pass'
ORDER BY result.status = 'warn', result.model, result.test_name
""",
)

RECONCILED_MONTHS = Query(
    "reconciled_months",
    """
SELECT DISTINCT reconciliation.month, reconciliation.currency
FROM warehouse.marts.fct_reconciliation AS reconciliation
ORDER BY reconciliation.month DESC, reconciliation.currency
LIMIT 120
""",
)

RECONCILIATION = Query(
    "reconciliation",
    """
SELECT month, currency, step_no, walk, step, kind, amount, status
FROM warehouse.marts.fct_reconciliation
WHERE month = $month AND currency = $currency
ORDER BY step_no
""",
    metric="mrr_to_cash",
)

# What a part of the walk leaves unexplained, as a sum: where it arrives less where it begins and every step
# between.
UNEXPLAINED_ROWS = Query(
    "unexplained_rows",
    """
SELECT step_no, step, kind, amount, if(step = $arrives, amount, -amount) AS share
FROM warehouse.marts.fct_reconciliation
WHERE month = $month AND currency = $currency
  AND (step IN ($begins, $arrives) OR (walk = $walk AND kind = 'change'))
ORDER BY step = $arrives, step <> $begins, step_no
""",
)

UNEXPLAINED = Query(
    "unexplained",
    """
SELECT
  count(*) FILTER (status = 'fine')::BIGINT AS fine,
  count(*) FILTER (status = 'warn')::BIGINT AS warned,
  count(*) FILTER (status = 'mark')::BIGINT AS marked
FROM warehouse.marts.fct_reconciliation
WHERE kind = 'unexplained'
""",
)

RESTATED = Query(
    "restated",
    """
SELECT
  count(*)::BIGINT AS figures,
  count(DISTINCT month)::BIGINT AS months,
  count(DISTINCT metric_id)::BIGINT AS metrics
FROM warehouse.marts.fct_restatements
WHERE segment = 'all'
""",
)

RESTATEMENTS = Query(
    "restatements",
    """
SELECT
  restated.metric_id, restated.month, restated.currency, restated.first_value, restated.value,
  restated.difference, restated.times_restated, restated.restated_at,
  restated.first_definition_version, restated.definition_version,
  NULL::DOUBLE AS by_models, NULL::DOUBLE AS by_rows, NULL::DOUBLE AS by_parents, NULL::DOUBLE AS by_rates,
  NULL::DOUBLE AS by_definition
FROM warehouse.marts.fct_restatements AS restated
WHERE restated.segment = 'all'
ORDER BY restated.restated_at DESC, restated.month DESC, restated.metric_id, restated.currency
LIMIT $limit
""",
)

# With the causes, where the company has had its figures worked out under other inputs.
RESTATEMENTS_WITH_CAUSES = Query(
    "restatements_with_causes",
    """
SELECT
  restated.metric_id, restated.month, restated.currency, restated.first_value, restated.value,
  restated.difference, restated.times_restated, restated.restated_at,
  restated.first_definition_version, restated.definition_version,
  cause.by_models, cause.by_rows, cause.by_parents, cause.by_rates, cause.by_definition
FROM warehouse.marts.fct_restatements AS restated
LEFT JOIN policy.fct_restatement_causes AS cause USING (metric_id, month, currency, segment)
WHERE restated.segment = 'all'
ORDER BY restated.restated_at DESC, restated.month DESC, restated.metric_id, restated.currency
LIMIT $limit
""",
)

SENSITIVE_METRICS = Query(
    "sensitive_metrics",
    """
SELECT DISTINCT sensitivity.metric_id
FROM policy.fct_policy_sensitivity AS sensitivity
ORDER BY sensitivity.metric_id
""",
)

# The newest closed month, one row a setting, alternative and currency.
SENSITIVITY = Query(
    "policy_sensitivity",
    """
SELECT setting, value_in_force, alternative, month, currency, figure_in_force, figure, difference
FROM policy.fct_policy_sensitivity
WHERE metric_id = $metric
QUALIFY month = max(month) OVER ()
ORDER BY abs(difference) DESC NULLS LAST, setting, alternative, currency
""",
)

MONITORING = Query(
    "churn_monitoring",
    """
SELECT
  as_of, measured_on, commitment_class, measure, subject, value, low, high, customers, observed, expected,
  is_over_limit, is_alarm
FROM warehouse.churn.churn_monitoring
WHERE model_id = $model_id
QUALIFY row_number() OVER (
  PARTITION BY commitment_class, measure, subject ORDER BY measured_on DESC, as_of DESC
) = 1
ORDER BY is_alarm DESC NULLS LAST, is_over_limit DESC NULLS LAST, commitment_class, measure, subject
LIMIT 200
""",
)
