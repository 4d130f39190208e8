-- One row per refund that was made.
with known as (
  {{ latest_known(source('raw_billing', 'refunds'), ['refund_id']) }}
)
select
  refund_id,
  payment_id,
  credit_note_id,
  amount_minor,
  currency,
  refunded_on,
  recorded_at,
  source_system
from known
