-- One row per attempt of a payment, its day in the reporting timezone.
with known as (
  {{ latest_known(source('raw_billing', 'payments'), ['payment_id', 'attempt_no']) }}
)
select
  payment_id,
  attempt_no,
  customer_id,
  currency,
  amount_minor,
  fee_minor,
  kind,
  method,
  status,
  failure_code,
  invoice_id,
  attempted_at,
  (attempted_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as attempted_on,
  received_on,
  recorded_at,
  source_system
from known
