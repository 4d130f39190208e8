-- One row per issued invoice.
with known as (
  {{ latest_known(source('raw_billing', 'invoices'), ['invoice_id']) }}
)
select
  invoice_id,
  invoice_no,
  customer_id,
  currency,
  status,
  issued_on,
  due_on,
  net_minor,
  tax_minor,
  total_minor,
  voided_on,
  written_off_on,
  written_off_minor,
  recorded_at,
  source_system
from known
where issued_on is not null
