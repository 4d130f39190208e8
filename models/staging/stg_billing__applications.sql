-- One row per amount applied to an invoice.
with known as (
  {{ latest_known(source('raw_billing', 'applications'), ['application_id']) }}
)
select
  application_id,
  source_kind,
  source_id,
  invoice_id,
  amount_minor,
  applied_on,
  recorded_at,
  source_system
from known
