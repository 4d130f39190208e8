-- One row per means of payment of a customer and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'payment_methods'), ['method_id']) }}
)
select
  method_id,
  customer_id,
  kind,
  expires_on,
  valid_from,
  coalesce(valid_to, date '9999-12-31') as valid_to,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
