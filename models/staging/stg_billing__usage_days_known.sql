-- One row per subscription item, meter and day of use and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'usage_days'), ['subscription_item_id', 'meter', 'used_on']) }}
)
select
  subscription_item_id,
  meter,
  used_on,
  quantity,
  active_users,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
