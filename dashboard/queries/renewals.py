"""Renewals: what is to be decided in the days to come, what is at stake, and how earlier ones came out.

The company's figures are those of the marts that add renewals up. For readers who see their own accounts
only, those marts are absent, and the same figures are added up from the rows that they see.
"""

from dataclasses import dataclass

from dashboard.queries import Query
from dashboard.queries.churn import IN_USE, LOOKED_AFTER, OWNER, STANDINGS, of_owner

# A renewal is what of one subscription ends its term on one day. Amounts stand at the constant rate, in one
# currency. What is due already but may still renew in time is in it; its day lies before the first.
CHOSEN = f"""
{STANDINGS.strip()},
build AS (
  SELECT $as_of::DATE AS as_of
),
{LOOKED_AFTER.strip()},
chosen AS (
  SELECT
    renewals.subscription_id,
    renewals.customer_id,
    renewals.due_on,
    any_value(renewals.segment) AS segment,
    min(renewals.notice_by_on) AS notice_by_on,
    min(renewals.notice_by_on) <= any_value(build.as_of) AS is_notice_over,
    bool_and(renewals.auto_renew) AS auto_renew,
    max(renewals.cancel_requested_on) AS cancel_requested_on,
    sum(renewals.mrr_before_constant)::DECIMAL(38, 16) AS mrr,
    any_value(renewals.due_on - build.as_of) AS days_left,
    any_value(date_trunc('week', renewals.due_on)::DATE) AS week
  FROM warehouse.marts.fct_renewals AS renewals
  CROSS JOIN build
  WHERE renewals.outcome = 'undecided' AND renewals.due_on <= build.as_of + 90
    AND renewals.amount_currency = $currency
    AND ($segment = 'all' OR renewals.segment = $segment)
    AND {of_owner("renewals.customer_id")}
  GROUP BY renewals.subscription_id, renewals.customer_id, renewals.due_on
  HAVING $kind = 'all' OR ($kind = 'auto' AND bool_and(renewals.auto_renew))
    OR ($kind = 'manual' AND bool_and(renewals.auto_renew) IS NOT TRUE)
)
"""

# `week` is a week's first day (a Monday), or null for every week.
WITHIN = "days_left <= $days AND ($week::DATE IS NULL OR week = $week)"
ORDER = "due_on, mrr DESC, customer_id, subscription_id"


def _detailed(asked: str) -> str:
    """The renewals that a statement over `chosen` asks for, with their customer, owner, state and score."""
    return f"""
WITH {CHOSEN.strip()},
asked AS (
  {asked}
),
scores AS (
  SELECT score.customer_id, score.as_of, score.model_id, score.recommended_play, score.p_90,
    score.p_nonrenewal_next_term, score.reason_1, score.reason_2, score.reason_3
  FROM {IN_USE}
  WHERE score.commitment_class <> 'non_contract'
),
detailed AS (
  SELECT
    asked.*,
    coalesce(customer.name, asked.customer_id) AS name,
    {OWNER} AS owner,
    coalesce(standings.state, 'open') AS state,
    standings.touched_on,
    scores.p_90,
    scores.p_nonrenewal_next_term,
    scores.as_of AS scored_for,
    scores.model_id,
    scores.recommended_play,
    scores.reason_1.sentence_en AS reason_en,
    scores.reason_1.sentence_ar AS reason_ar,
    scores.reason_2.sentence_en AS reason_2_en,
    scores.reason_2.sentence_ar AS reason_2_ar,
    scores.reason_3.sentence_en AS reason_3_en,
    scores.reason_3.sentence_ar AS reason_3_ar
  FROM asked
  LEFT JOIN warehouse.marts.dim_customers AS customer
    ON customer.customer_id = asked.customer_id AND customer.is_current
  LEFT JOIN standings ON standings.customer_id = asked.customer_id
  LEFT JOIN scores ON scores.customer_id = asked.customer_id
)
SELECT * FROM detailed
ORDER BY {ORDER}
"""


# All of them; and a page of them, of which alone the details are read. A page names the days its rows fall
# on, so that nothing is asked of other days.
ROWS = Query("renewals_to_come", _detailed(f"SELECT * FROM chosen WHERE {WITHIN}"), metric="renewing_mrr")
PAGE = Query(
    "renewals_page",
    _detailed(
        f"SELECT * FROM chosen WHERE {WITHIN} AND due_on BETWEEN $from_day AND $to_day "
        f"ORDER BY {ORDER} LIMIT $limit OFFSET $offset"
    ),
    metric="renewing_mrr",
)

# What comes up on each day, to be added up to horizons and weeks.
BY_DAY = Query(
    "renewals_by_day",
    """
SELECT
  date_trunc('week', due_on)::DATE AS week,
  due_on - $as_of::DATE AS days_left,
  sum(renewals)::BIGINT AS renewals,
  sum(mrr)::DECIMAL(38, 16) AS mrr,
  coalesce(sum(mrr) FILTER (is_automatic), 0)::DECIMAL(38, 16) AS auto_mrr,
  coalesce(sum(mrr) FILTER (NOT is_automatic), 0)::DECIMAL(38, 16) AS manual_mrr
FROM warehouse.marts.fct_renewal_days
WHERE outcome = 'undecided' AND due_on <= $as_of::DATE + 90 AND currency = $currency
  AND ($segment = 'all' OR segment = $segment)
  AND ($kind = 'all' OR is_automatic = ($kind = 'auto'))
GROUP BY week, days_left
ORDER BY days_left
""",
    metric="renewing_mrr",
)

# The same of some accounts alone: an owner's, or those that the reader may see.
BY_DAY_OF_ACCOUNTS = Query(
    "renewals_by_day_of_accounts",
    f"""
WITH {CHOSEN.strip()}
SELECT week, days_left, count(*)::BIGINT AS renewals,
  coalesce(sum(mrr), 0)::DECIMAL(38, 16) AS mrr,
  coalesce(sum(mrr) FILTER (auto_renew), 0)::DECIMAL(38, 16) AS auto_mrr,
  coalesce(sum(mrr) FILTER (auto_renew IS NOT TRUE), 0)::DECIMAL(38, 16) AS manual_mrr
FROM chosen
GROUP BY week, days_left
ORDER BY days_left
""",
    metric="renewing_mrr",
)

# The scores in use of accounts: of which day, by which model.
SCORED = Query(
    "renewals_scored",
    """
SELECT as_of, model_id FROM warehouse.churn.churn_scorings WHERE is_in_use AND NOT is_repeat_trade
""",
)

# The terms whose last day of notice lies within some days, and whose customer has not asked to cancel.
NOTICE_SOON = Query(
    "renewals_notice_soon",
    """
WITH chosen AS (
  SELECT
    subscription_id,
    customer_id,
    due_on,
    amount_currency AS currency,
    min(notice_by_on) AS notice_by_on,
    bool_and(auto_renew) AS auto_renew,
    sum(mrr_before_constant)::DECIMAL(38, 16) AS mrr
  FROM warehouse.marts.fct_renewals
  WHERE outcome = 'undecided' AND notice_by_on > $as_of::DATE
    AND notice_by_on <= $as_of::DATE + $days::INTEGER
  GROUP BY subscription_id, customer_id, due_on, amount_currency
  HAVING max(cancel_requested_on) IS NULL
  ORDER BY notice_by_on, mrr DESC, customer_id, subscription_id
  LIMIT $limit
)
SELECT chosen.*, coalesce(customer.name, chosen.customer_id) AS name
FROM chosen
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = chosen.customer_id AND customer.is_current
ORDER BY chosen.notice_by_on, chosen.mrr DESC, chosen.customer_id, chosen.subscription_id
""",
)

# The currencies and segments that there are renewals of, those of most of them first.
PARTS = Query(
    "renewals_parts",
    """
SELECT currency, segment, sum(renewals)::BIGINT AS renewals
FROM warehouse.marts.fct_renewal_days
GROUP BY currency, segment
ORDER BY renewals DESC, currency, segment
""",
)

PARTS_OF_ACCOUNTS = Query(
    "renewals_parts_of_accounts",
    """
SELECT amount_currency AS currency, segment, count(*)::BIGINT AS renewals
FROM warehouse.marts.fct_renewals
GROUP BY amount_currency, segment
ORDER BY renewals DESC, currency, segment
""",
)

# Of the terms that ended in the 12 months up to the as-of day's month and are decided: how much renewed.
PAST = Query(
    "renewals_past",
    """
SELECT
  coalesce(sum(denominator) FILTER (metric_id = 'renewal_rate'), 0)::DECIMAL(38, 16) AS mrr_due,
  coalesce(sum(numerator) FILTER (metric_id = 'renewal_rate'), 0)::DECIMAL(38, 16) AS mrr_renewed,
  coalesce(sum(denominator) FILTER (metric_id = 'renewal_rate_count'), 0)::BIGINT AS renewals
FROM warehouse.marts.fct_metric_values
CROSS JOIN (SELECT $as_of::DATE AS as_of) AS build
WHERE metric_id IN ('renewal_rate', 'renewal_rate_count') AND currency = $currency AND segment = $segment
  AND month BETWEEN date_trunc('month', build.as_of) - INTERVAL 11 MONTH AND build.as_of
""",
    metric="renewal_rate_12m",
)

PAST_ROWS = Query(
    "renewals_past_rows",
    """
SELECT
  renewals.customer_id,
  coalesce(customer.name, renewals.customer_id) AS name,
  renewals.segment,
  renewals.subscription_item_id,
  renewals.due_on,
  renewals.decided_on,
  renewals.outcome,
  renewals.cause,
  renewals.mrr_before_constant AS mrr_due,
  if(renewals.outcome = 'renewed', renewals.mrr_before_constant, 0) AS mrr_renewed
FROM warehouse.marts.fct_renewals AS renewals
CROSS JOIN (SELECT $as_of::DATE AS as_of) AS build
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = renewals.customer_id AND customer.is_current
WHERE renewals.outcome <> 'undecided' AND renewals.is_due
  AND renewals.month >= date_trunc('month', build.as_of) - INTERVAL 11 MONTH
  AND renewals.amount_currency = $currency AND ($segment = 'all' OR renewals.segment = $segment)
ORDER BY renewals.due_on DESC, renewals.mrr_before_constant DESC, renewals.subscription_item_id
""",
    metric="renewal_rate_12m",
)

PAST_OF_ACCOUNTS = Query(
    "renewals_past_of_accounts",
    f"""
SELECT
  coalesce(sum(mrr_due), 0)::DECIMAL(38, 16) AS mrr_due,
  coalesce(sum(mrr_renewed), 0)::DECIMAL(38, 16) AS mrr_renewed,
  count(*)::BIGINT AS renewals
FROM (
{PAST_ROWS.sql.strip()}
)
""",
    metric="renewal_rate_12m",
)


@dataclass(frozen=True)
class Source:
    """Where the figures of the page are read: added up for the whole company, or from rows of accounts."""

    parts: Query
    by_day: Query
    past: Query


COMPANY = Source(PARTS, BY_DAY, PAST)
ACCOUNTS = Source(PARTS_OF_ACCOUNTS, BY_DAY_OF_ACCOUNTS, PAST_OF_ACCOUNTS)
