-- One row per discount and item it covers.
with known as (
  {{ latest_known(source('raw_billing', 'discounts'), ['discount_id', 'subscription_item_id']) }}
)
select
  discount_id,
  subscription_item_id,
  percent_ppm,
  amount_minor,
  currency,
  duration,
  valid_from,
  valid_to,
  order_no,
  recorded_at,
  source_system
from known
