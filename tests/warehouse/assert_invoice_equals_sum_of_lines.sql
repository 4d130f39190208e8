-- Net is the sum of the lines, total is net and tax.
select invoices.invoice_id, invoices.net_minor, invoices.tax_minor, invoices.total_minor, lines.net_minor as lines_net
from {{ ref('stg_billing__invoices') }} as invoices
left join (
  select invoice_id, sum(net_minor) as net_minor, sum(tax_minor) as tax_minor
  from {{ ref('stg_billing__invoice_lines') }}
  group by invoice_id
) as lines using (invoice_id)
where invoices.net_minor <> coalesce(lines.net_minor, 0)
  or invoices.total_minor <> invoices.net_minor + invoices.tax_minor
