-- One row per line of an invoice that is set against MRR: recurring, of an item, with days of service. Replaced are the days
-- on which a credit undoes the whole of it and other lines of the item stand for it: those that change its terms on the
-- credit's day, or those billed after a void. A line that gives back a credited one gives back no more than is left of it.
with lines as (
  select
    revenue.line_id,
    revenue.document_id as invoice_id,
    revenue.subscription_item_id,
    revenue.currency,
    revenue.kind = 'recurring' as is_whole_period,
    revenue.issued_on,
    lines.service_start,
    lines.service_end,
    revenue.net_minor,
    coalesce(lines.discount_minor, 0) as discount_minor,
    coalesce(lines.once_discount_minor, 0) as once_discount_minor,
    coalesce(lines.quantity, 1) as quantity,
    lines.sku is not null as is_goods
  from {{ ref('int_revenue_lines') }} as revenue
  join {{ ref('stg_billing__invoice_lines') }} as lines using (line_id)
  where revenue.document_kind = 'invoice'
    and revenue.kind in ('recurring', 'proration')
    and revenue.subscription_item_id is not null
    and not revenue.is_test
    and lines.service_start < lines.service_end
),
credits as (
  select
    coalesce(note_lines.invoice_line_id, revenue.line_id) as line_id,
    revenue.earned_start as credited_from,
    revenue.earned_end as credited_to,
    max(revenue.issued_on) as credited_on,
    -sum(revenue.net_minor) as credited_minor
  from {{ ref('int_revenue_lines') }} as revenue
  left join {{ ref('stg_billing__credit_note_lines') }} as note_lines
    on revenue.document_kind = 'credit_note'
    and note_lines.line_id = revenue.line_id
  where revenue.document_kind <> 'invoice'
  group by all
),
-- the last credit of a line takes what is left of it: within a minor unit of the price of those days
undone as (
  select
    lines.*,
    credits.credited_from,
    credits.credited_to,
    credits.credited_on,
    coalesce(invoices.voided_on <= credits.credited_on, false) as is_void
  from credits
  join lines using (line_id)
  join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
  where lines.net_minor <> 0
    and credits.credited_from >= lines.service_start
    and credits.credited_to <= lines.service_end
    and abs(
      credits.credited_minor::hugeint * (lines.service_end - lines.service_start)
      - lines.net_minor::hugeint * (credits.credited_to - credits.credited_from)
    ) <= lines.service_end - lines.service_start
),
replacements as (
  select
    undone.line_id,
    greatest(undone.credited_from, min(others.service_start)) as from_day,
    least(undone.credited_to, max(others.service_end)) as to_day
  from undone
  join lines as others
    on others.subscription_item_id = undone.subscription_item_id
    and others.currency = undone.currency
    and others.invoice_id <> undone.invoice_id
    and others.issued_on >= undone.credited_on
    and others.service_start < undone.credited_to
    and others.service_end > undone.credited_from
    and (undone.is_void or others.issued_on = undone.credited_on and others.service_start = undone.credited_from)
  where others.net_minor + others.discount_minor > 0
  group by undone.line_id, undone.credited_from, undone.credited_to
),
replaced as (
  select line_id, min(from_day) as replaced_from, max(to_day) as replaced_to
  from replacements
  group by line_id
),
credited as (
  select line_id, max(credited_on) as credited_on, sum(credited_minor) as credited_minor
  from credits
  group by line_id
),
reversals as (
  select
    lines.line_id,
    lines.net_minor::hugeint * (given.service_end - given.service_start)
    + given.net_minor::hugeint * (lines.service_end - lines.service_start) as cut_days_minor,
    (given.service_end - given.service_start)::hugeint as given_days
  from lines
  join lines as given
    on given.subscription_item_id = lines.subscription_item_id
    and given.currency = lines.currency
    and given.quantity = lines.quantity
    and given.service_end = lines.service_end
    and given.service_start <= lines.service_start
    and given.issued_on <= lines.issued_on
  join credited
    on credited.line_id = given.line_id
    and credited.credited_on <= lines.issued_on
    and credited.credited_minor - given.net_minor = lines.net_minor
  where not lines.is_whole_period
    and lines.net_minor + lines.discount_minor <= 0
    and given.net_minor + given.discount_minor > 0
  qualify row_number() over (partition by lines.line_id order by given.issued_on desc, given.line_id desc) = 1
)
select
  lines.*,
  replaced.replaced_from,
  replaced.replaced_to,
  case when reversals.cut_days_minor > 0 then reversals.cut_days_minor * 1000000000 // reversals.given_days else 0 end::hugeint
    as cut_e9
from lines
left join replaced using (line_id)
left join reversals using (line_id)
