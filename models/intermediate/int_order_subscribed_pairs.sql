-- One row per measuring day × customer × SKU with a live subscription on that SKU: a recurring line serves that day.
select distinct days.as_of, invoices.customer_id, lines.sku
from {{ ref('int_order_cadence_days') }} as days
join {{ ref('stg_billing__invoice_lines') }} as lines
  on lines.kind = 'recurring' and lines.service_start <= days.as_of and lines.service_end > days.as_of
join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
where lines.sku is not null
