-- One row per payment dispute at the customer's bank.
with known as (
  {{ latest_known(source('raw_billing', 'disputes'), ['dispute_id']) }}
)
select
  dispute_id,
  payment_id,
  amount_minor,
  currency,
  opened_on,
  closed_on,
  outcome,
  recorded_at,
  source_system
from known
