-- One row per means of payment of a customer.
with known as (
  {{ latest_known(source('raw_billing', 'payment_methods'), ['method_id']) }}
)
select
  method_id,
  customer_id,
  kind,
  expires_on,
  valid_from,
  valid_to,
  recorded_at,
  source_system
from known
