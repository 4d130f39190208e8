-- The daily count of customers closes a month with as many as the month itself, in every segment.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
days as (
  select
    segment, closing_customers, day,
    coalesce(lead(day) over (partition by segment order by day), date '9999-12-31') as until_day
  from {{ ref('fct_customer_days') }}
),
from_days as (
  select months.month, days.segment, days.closing_customers as customers
  from {{ ref('int_months') }} as months
  cross join build
  join days
    on days.day <= least(months.snapshot_on, build.as_of)
    and days.until_day > least(months.snapshot_on, build.as_of)
),
from_months as (
  select month, segment, sum(closing_customers) as customers
  from {{ ref('fct_mrr_months') }}
  group by month, segment
)
select *
from from_days
full join from_months using (month, segment)
where coalesce(from_days.customers, 0) <> coalesce(from_months.customers, 0)
