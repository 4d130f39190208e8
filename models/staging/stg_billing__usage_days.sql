-- One row per subscription item, meter and day of use.
with known as (
  {{ latest_known(source('raw_billing', 'usage_days'), ['subscription_item_id', 'meter', 'used_on']) }}
)
select
  subscription_item_id,
  meter,
  used_on,
  quantity,
  rated_minor,
  active_users,
  recorded_at,
  source_system
from known
