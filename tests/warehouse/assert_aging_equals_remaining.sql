-- The buckets of the as-of day sum to what remains of all invoices.
with aging as (
  select currency, sum(remaining_minor) as remaining_minor
  from {{ ref('fct_ar_aging') }}
  where snapshot_on = (select as_of from {{ ref('stg_meta__build') }})
  group by currency
),
invoices as (
  select currency, sum(remaining_minor) as remaining_minor
  from {{ ref('fct_invoices') }}
  group by currency
)
select *
from invoices
left join aging using (currency)
where invoices.remaining_minor <> coalesce(aging.remaining_minor, 0)
