-- One row per line of a credit note.
with known as (
  {{ latest_known(source('raw_billing', 'credit_note_lines'), ['line_id']) }}
)
select
  line_id,
  credit_note_id,
  invoice_line_id,
  service_start,
  service_end,
  net_minor,
  tax_minor,
  recorded_at,
  source_system
from known
