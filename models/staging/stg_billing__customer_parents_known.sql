-- One row per customer and stretch of days under one parent and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'customer_parents'), ['customer_id', 'valid_from']) }}
)
select
  customer_id,
  valid_from,
  parent_customer_id,
  coalesce(valid_to, date '9999-12-31') as valid_to,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
