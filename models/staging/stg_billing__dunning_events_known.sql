-- One row per attempt to collect an invoice that failed once and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'dunning_events'), ['invoice_id', 'attempt_no']) }}
)
select
  invoice_id,
  attempt_no,
  (attempted_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as attempted_on,
  outcome,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
