{{ config(materialized='view') }}
-- The lines of fct_invoices, read from what the source sent: for one invoice at a time.
select
  lines.line_id,
  lines.invoice_id,
  invoices.customer_id,
  invoices.currency,
  lines.subscription_item_id,
  lines.kind,
  lines.sku,
  lines.quantity,
  lines.service_start,
  lines.service_end,
  lines.discount_minor,
  lines.net_minor,
  lines.tax_minor,
  lines.source_system
from {{ ref('fct_invoices') }} as invoices
join {{ ref('stg_billing__lines_of_invoice') }} as lines using (invoice_id)
