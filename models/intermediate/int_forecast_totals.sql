-- The series that are forecast, month by month: of all customers and of each segment. Whoever pays when a series begins
-- isn't new to it: flows are known from the month after. Who changes its segment is neither new to the one nor lost to
-- the other.
with changes as (
  select * from {{ ref('fct_customer_month_changes') }} where not is_provisional
),
sides as (
  select currency, opening_segment as segment, month, -opening_mrr as change, 0 as new_mrr, false as is_paid
  from changes
  where opening_mrr > 0
  union all
  select
    currency, segment, month, closing_mrr as change, case when category = 'new' then delta else 0 end as new_mrr,
    true as is_paid
  from changes
  where closing_mrr > 0
),
changed as (
  select
    currency,
    coalesce(segment, 'all') as segment,
    month,
    sum(change) as change,
    sum(new_mrr) as new_mrr,
    bool_or(is_paid) as is_paid
  from sides
  group by grouping sets ((currency, month), (currency, segment, month))
),
spans as (
  select currency, segment, min(month) as first_month from changed where is_paid group by currency, segment
),
filled as (
  select
    spans.currency,
    spans.segment,
    months.month,
    {{ months_between('spans.first_month', 'months.month') }} as known_months,
    coalesce(changed.change, 0) as change,
    coalesce(changed.new_mrr, 0) as new_mrr
  from spans
  join {{ ref('int_months') }} as months on months.month >= spans.first_month
  left join changed
    on changed.currency = spans.currency
    and changed.segment = spans.segment
    and changed.month = months.month
  where not months.is_provisional
),
running as (
  select *, sum(change) over (partition by currency, segment order by month) as closing_mrr from filled
)
select
  currency,
  segment,
  month,
  known_months::bigint as known_months,
  (closing_mrr - change)::decimal(38, 16) as opening_mrr,
  new_mrr::decimal(38, 16) as new_mrr,
  closing_mrr::decimal(38, 16) as closing_mrr
from running
