-- One row per customer and month, with what changed since the month before.
with compared as (
  select
    *,
    coalesce(lag(mrr) over (partition by customer_id order by month), 0) as previous_mrr
  from {{ ref('customer_months') }}
)
select
  customer_id,
  month,
  mrr,
  previous_mrr,
  mrr - previous_mrr as mrr_change,
  case
    when is_first_month then 'new'
    when mrr > 0 and previous_mrr = 0 then 'reactivation'
    when mrr = 0 and previous_mrr > 0 then 'churn'
    when mrr > previous_mrr then 'expansion'
    when mrr < previous_mrr then 'contraction'
  end as category
from compared
