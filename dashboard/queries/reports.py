"""What a report tells of the build itself: figures of closed months that are not as they were printed.

What each cause adds is known from the figure as first reported to the one that stands, where the company has
had its figures worked out under other inputs.
"""

from dashboard.queries import Query

_BY_CAUSE = ", ".join(f"cause.by_{name}" for name in ("models", "rows", "parents", "rates", "definition"))

# `metric_ids` are parted by commas. A figure's print at a build is its newest row up to that build.
RESTATED_SINCE = Query(
    "restated_since",
    """
WITH prints AS (
  SELECT metric_id, month, currency, build_id, printed_at, definition_version, numerator, denominator
  FROM warehouse.marts.fct_metric_prints
  WHERE segment = 'all' AND list_contains(string_split($metric_ids, ','), metric_id)
),
seen AS (
  SELECT * FROM prints
  WHERE printed_at <= $seen_at::TIMESTAMPTZ
  QUALIFY row_number() OVER (
    PARTITION BY metric_id, month, currency ORDER BY printed_at DESC, build_id DESC
  ) = 1
),
now AS (
  SELECT * FROM prints
  QUALIFY row_number() OVER (
    PARTITION BY metric_id, month, currency ORDER BY printed_at DESC, build_id DESC
  ) = 1
)
SELECT
  now.metric_id,
  now.month,
  now.currency,
  seen.numerator AS seen_numerator,
  seen.denominator AS seen_denominator,
  now.numerator,
  now.denominator,
  now.printed_at AS restated_at,
  now.definition_version <> seen.definition_version AS is_redefined,
  seen.build_id AS seen_build_id
FROM now
JOIN seen USING (metric_id, month, currency)
WHERE now.build_id <> seen.build_id
  AND {'n': now.numerator, 'd': now.denominator} <> {'n': seen.numerator, 'd': seen.denominator}
ORDER BY now.month DESC, list_position(string_split($metric_ids, ','), now.metric_id), now.currency
LIMIT 50
""",
)

RESTATED = Query(
    "restated_in_a_year",
    """
SELECT
  metric_id,
  month,
  currency,
  first_numerator AS seen_numerator,
  first_denominator AS seen_denominator,
  numerator,
  denominator,
  restated_at,
  first_definition_version <> definition_version AS is_redefined
FROM warehouse.marts.fct_restatements
WHERE segment = 'all' AND list_contains(string_split($metric_ids, ','), metric_id)
  AND month BETWEEN $month - INTERVAL 11 MONTH AND $month
ORDER BY month DESC, list_position(string_split($metric_ids, ','), metric_id), currency
LIMIT 12
""",
)

RESTATED_SINCE_WITH_CAUSES = Query(
    "restated_since_with_causes",
    f"""
WITH restated AS (
{RESTATED_SINCE.sql.strip()}
)
SELECT restated.*, {_BY_CAUSE}
FROM restated
LEFT JOIN policy.fct_restatement_causes AS cause
  ON cause.metric_id = restated.metric_id AND cause.month = restated.month
  AND cause.currency = restated.currency AND cause.segment = 'all'
  AND cause.first_build_id = restated.seen_build_id
ORDER BY restated.month DESC, list_position(string_split($metric_ids, ','), restated.metric_id),
  restated.currency
""",
)

RESTATED_WITH_CAUSES = Query(
    "restated_in_a_year_with_causes",
    f"""
WITH restated AS (
{RESTATED.sql.strip()}
)
SELECT restated.*, {_BY_CAUSE}
FROM restated
LEFT JOIN policy.fct_restatement_causes AS cause
  ON cause.metric_id = restated.metric_id AND cause.month = restated.month
  AND cause.currency = restated.currency AND cause.segment = 'all'
ORDER BY restated.month DESC, list_position(string_split($metric_ids, ','), restated.metric_id),
  restated.currency
""",
)

SET_ASIDE = Query("rows_set_aside", "SELECT count(*)::BIGINT AS set_aside FROM warehouse.raw_meta.rejects")
