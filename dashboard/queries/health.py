"""Data health: what was loaded and set aside, which tests ran, which definitions are in force."""

from dashboard.queries import Query

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
