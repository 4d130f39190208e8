-- The lines of stg_billing__invoice_lines, to be asked for one invoice: a filter on invoice_id reaches the rows before the
-- newest of each line is looked for, so that the lines of others are not gone through.
with known as (
  {{ latest_known(source('raw_billing', 'invoice_lines'), ['invoice_id', 'line_id']) }}
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
  tax_minor,
  source_system
from known
