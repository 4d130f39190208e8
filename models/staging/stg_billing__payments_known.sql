-- One row per attempt of a payment and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'payments'), ['payment_id', 'attempt_no']) }}
)
select
  payment_id,
  attempt_no,
  customer_id,
  amount_minor,
  kind,
  status,
  invoice_id,
  (attempted_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as attempted_on,
  received_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
