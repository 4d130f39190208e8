-- One row per subscription item and version and stretch of days on which it was known as it stands here. A history that
-- says when its rows were written is believed: a version that replaced another was not there before that.
with known as (
  {{ known_rows(source('raw_billing', 'subscription_versions'), ['subscription_item_id', 'version_no']) }}
)
select
  subscription_item_id,
  version_no,
  subscription_id,
  customer_id,
  coalesce(plan_id, 'unknown') as plan_id,
  amount_minor + coalesce(committed_minimum_minor, 0) as recurring_minor,
  currency,
  "interval" as billing_interval,
  interval_count,
  coalesce(quantity, 1) as quantity,
  status,
  valid_from,
  coalesce(valid_to, date '9999-12-31') as valid_to,
  term_start,
  term_end,
  notice_by_on,
  auto_renew,
  cancel_requested_on,
  end_cause,
  coalesce(is_deleted, false) as is_deleted,
  recorded_at,
  is_history,
  is_history and is_undated as is_known_day_assumed,
  case when is_history and not is_undated then recorded_on else known_from end as known_from,
  known_until
from known
