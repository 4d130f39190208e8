-- One row per credit note.
with known as (
  {{ latest_known(source('raw_billing', 'credit_notes'), ['credit_note_id']) }}
)
select
  credit_note_id,
  invoice_id,
  customer_id,
  issued_on,
  currency,
  net_minor,
  tax_minor,
  total_minor,
  recorded_at,
  source_system
from known
