-- On the as-of day every open invoice stands in the bucket of its days past due, thirty days to a bucket, once.
with aging as (
  select currency, segment, bucket, invoices, remaining_minor
  from {{ ref('fct_ar_aging') }}
  where snapshot_on = (select as_of from {{ ref('stg_meta__build') }}) and bucket <> 'unapplied'
),
invoices as (
  select
    currency,
    segment,
    case
      when coalesce(days_past_due, 0) < 1 then 'current'
      else ['d1_30', 'd31_60', 'd61_90', 'd91_plus'][least((days_past_due - 1) // 30, 3) + 1]
    end as bucket,
    count(*) as invoices,
    sum(remaining_minor) as remaining_minor
  from {{ ref('fct_invoices') }}
  where remaining_minor <> 0
  group by all
)
select *
from invoices
full join aging using (currency, segment, bucket)
where invoices.remaining_minor is distinct from aging.remaining_minor
  or invoices.invoices is distinct from aging.invoices
