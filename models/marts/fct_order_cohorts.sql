-- One row per cohort × age × currency, every age from 0 to the as-of month.
with customer_months as (
  select
    customer_id,
    currency,
    order_month,
    count(*) filter (not is_credit) as orders,
    sum(net_minor)::bigint as revenue_minor
  from {{ ref('int_orders') }}
  group by customer_id, currency, order_month
),
members as (
  select customer_id, currency, min(order_month) as cohort_month
  from customer_months
  where orders > 0
  group by customer_id, currency
),
cohorts as (
  select cohort_month, currency, count(*) as cohort_customers from members group by cohort_month, currency
),
ages as (
  select
    cohorts.*,
    unnest(generate_series(cohorts.cohort_month, build.as_of, interval 1 month))::date as order_month,
    build.as_of
  from cohorts
  cross join {{ ref('stg_meta__build') }} as build
),
activity as (
  select
    members.cohort_month,
    members.currency,
    months.order_month,
    count(*) filter (months.orders > 0) as active_customers,
    sum(months.orders)::bigint as orders,
    sum(months.revenue_minor)::bigint as revenue_minor
  from members
  join customer_months as months
    on months.customer_id = members.customer_id
    and months.currency = members.currency
    and months.order_month >= members.cohort_month
  group by members.cohort_month, members.currency, months.order_month
)
select
  ages.cohort_month,
  {{ months_between('ages.cohort_month', 'ages.order_month') }} as age_months,
  ages.order_month,
  ages.currency,
  ages.cohort_customers,
  coalesce(activity.active_customers, 0) as active_customers,
  coalesce(activity.orders, 0)::bigint as orders,
  coalesce(activity.revenue_minor, 0)::bigint as revenue_minor,
  {{ add_months('ages.order_month', 1) }} > ages.as_of + 1 as is_provisional
from ages
left join activity using (cohort_month, currency, order_month)
