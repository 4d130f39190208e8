{{ config(materialized='view') }}
-- One row per subscription item, currency and period that stands billed by the as-of day: the recurring lines of invoices
-- that are not void. What a line for the same days or a credit note takes back whole is not billed; parts of a period
-- (prorations) are no recurring lines. An item is billed for one interval at a time; its parts add up.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
credited as (
  select lines.invoice_line_id, sum(lines.net_minor) as credited_minor
  from {{ ref('stg_billing__credit_note_lines') }} as lines
  join {{ ref('stg_billing__credit_notes') }} as notes using (credit_note_id)
  join build on notes.issued_on <= build.as_of
  group by lines.invoice_line_id
),
lines as (
  select
    lines.*,
    lines.kind = 'recurring' as is_charge,
    invoices.customer_id,
    invoices.currency,
    greatest(lines.recorded_at, invoices.recorded_at) as known_at
  from {{ ref('stg_billing__invoice_lines') }} as lines
  join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
  join build on invoices.issued_on <= build.as_of
  left join credited on credited.invoice_line_id = lines.line_id
  where lines.subscription_item_id is not null
    and lines.service_start < lines.service_end
    and (lines.kind = 'recurring' or lines.kind = 'proration' and lines.net_minor < 0)
    and (invoices.voided_on is null or invoices.voided_on > build.as_of)
    and not coalesce(lines.net_minor > 0 and credited.credited_minor >= lines.net_minor, false)
)
select
  subscription_item_id,
  currency,
  service_start,
  service_end,
  max(customer_id) filter (where is_charge) as customer_id,
  sum(net_minor + coalesce(discount_minor, 0))::bigint as amount_minor,
  -- what is taken off once is no running discount
  sum(coalesce(discount_minor, 0) - coalesce(once_discount_minor, 0))::bigint as discount_minor,
  case when count(*) = 1 then max(quantity) end as quantity,
  max(known_at) as recorded_at
from lines
group by subscription_item_id, currency, service_start, service_end
having count(*) filter (where is_charge) > count(*) filter (where not is_charge)
