-- One row per amount applied to an invoice and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'applications'), ['application_id']) }}
)
select
  application_id,
  source_kind,
  invoice_id,
  amount_minor,
  applied_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
