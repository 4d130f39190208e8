-- One row per invoice and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'invoices'), ['invoice_id']) }}
)
select
  invoice_id,
  customer_id,
  currency,
  issued_on,
  due_on,
  total_minor,
  voided_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
where issued_on is not null
