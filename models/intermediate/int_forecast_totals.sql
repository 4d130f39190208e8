-- The series that is forecast, month by month. Whoever pays when it begins isn't new to the company: flows are known
-- from the month after.
with changed as (
  select
    currency,
    month,
    sum(closing_mrr - opening_mrr) as change,
    sum(case when category = 'new' then delta else 0 end) as new_mrr,
    bool_or(closing_mrr > 0) as is_paid
  from {{ ref('fct_customer_month_changes') }}
  where not is_provisional
  group by currency, month
),
spans as (
  select currency, min(month) as first_month from changed where is_paid group by currency
),
filled as (
  select
    spans.currency,
    months.month,
    {{ months_between('spans.first_month', 'months.month') }} as known_months,
    coalesce(changed.change, 0) as change,
    coalesce(changed.new_mrr, 0) as new_mrr
  from spans
  join {{ ref('int_months') }} as months on months.month >= spans.first_month
  left join changed
    on changed.currency = spans.currency
    and changed.month = months.month
  where not months.is_provisional
),
running as (
  select *, sum(change) over (partition by currency order by month) as closing_mrr from filled
)
select
  currency,
  month,
  known_months::bigint as known_months,
  (closing_mrr - change)::decimal(38, 16) as opening_mrr,
  new_mrr::decimal(38, 16) as new_mrr,
  closing_mrr::decimal(38, 16) as closing_mrr
from running
