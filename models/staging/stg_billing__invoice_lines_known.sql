-- One row per line of an invoice and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'invoice_lines'), ['line_id']) }}
)
select
  line_id,
  invoice_id,
  subscription_item_id,
  kind,
  net_minor,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
