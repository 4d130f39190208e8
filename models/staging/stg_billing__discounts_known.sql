-- One row per discount and item it covers and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'discounts'), ['discount_id', 'subscription_item_id']) }}
)
select
  discount_id,
  subscription_item_id,
  percent_ppm,
  amount_minor,
  currency,
  duration,
  valid_from,
  coalesce(valid_to, date '9999-12-31') as valid_to,
  order_no,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
