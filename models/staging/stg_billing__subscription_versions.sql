-- One row per subscription item and version, withdrawn ones left out.
with known as (
  {{ latest_known(source('raw_billing', 'subscription_versions'), ['subscription_item_id', 'version_no']) }}
)
select
  subscription_item_id,
  version_no,
  subscription_id,
  customer_id,
  plan_id,
  price_id,
  amount_minor,
  currency,
  "interval" as billing_interval,
  interval_count,
  coalesce(quantity, 1) as quantity,
  coalesce(committed_minimum_minor, 0) as committed_minimum_minor,
  status,
  valid_from,
  valid_to,
  term_start,
  term_end,
  notice_by_on,
  auto_renew,
  trial_end_on,
  cancel_requested_on,
  cancel_reason,
  end_cause,
  coalesce(is_rebuilt, false) as is_rebuilt,
  recorded_at,
  source_system
from known
where not coalesce(is_deleted, false)
