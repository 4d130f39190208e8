-- One row per customer and stretch of days under one parent.
with known as (
  {{ latest_known(source('raw_billing', 'customer_parents'), ['customer_id', 'valid_from']) }}
)
select
  customer_id,
  valid_from,
  parent_customer_id,
  valid_to,
  recorded_at,
  source_system
from known
