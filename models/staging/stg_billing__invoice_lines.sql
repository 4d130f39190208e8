-- One row per line of an invoice.
with known as (
  {{ latest_known(source('raw_billing', 'invoice_lines'), ['line_id']) }}
)
select
  line_id,
  invoice_id,
  subscription_item_id,
  kind,
  sku,
  quantity,
  service_start,
  service_end,
  net_minor,
  discount_minor,
  once_discount_minor,
  tax_minor,
  recorded_at,
  source_system
from known
