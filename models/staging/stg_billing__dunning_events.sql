-- One row per attempt to collect an invoice that failed once, its day in the reporting timezone.
with known as (
  {{ latest_known(source('raw_billing', 'dunning_events'), ['invoice_id', 'attempt_no']) }}
)
select
  invoice_id,
  attempt_no,
  attempted_at,
  (attempted_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as attempted_on,
  outcome,
  recorded_at,
  source_system
from known
