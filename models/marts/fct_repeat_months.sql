-- One row per month, whole company: customers, and how many of them came back within 365 days.
with order_days as (
  select customer_id, ordered_on, sum(orders)::bigint as orders
  from {{ ref('int_order_days') }}
  where orders > 0
  group by customer_id, ordered_on
),
first_days as (
  select customer_id, min(ordered_on) as first_order_on from order_days group by customer_id
),
months as (
  select
    unnest(generate_series(
      date_trunc('month', (select min(ordered_on) from order_days)), build.as_of, interval 1 month
    ))::date as order_month,
    build.as_of
  from {{ ref('stg_meta__build') }} as build
),
windows as (
  select
    order_month,
    {{ add_months('order_month', 1) }} > as_of + 1 as is_provisional,
    least(({{ add_months('order_month', 1) }}) - 1, as_of) as window_end_on
  from months
),
customers_of_window as (
  select
    windows.order_month,
    days.customer_id,
    count(*) as window_order_days,
    coalesce(sum(days.orders) filter (days.ordered_on >= windows.order_month), 0) as orders
  from windows
  join order_days as days
    on days.ordered_on > windows.window_end_on - 365 and days.ordered_on <= windows.window_end_on
  group by windows.order_month, days.customer_id
),
counts as (
  select
    active.order_month,
    sum(active.orders)::bigint as orders,
    count(*) filter (active.orders > 0) as customers,
    count(*) filter (active.orders > 0 and first_days.first_order_on >= active.order_month) as new_customers,
    count(*) as window_customers,
    count(*) filter (active.window_order_days >= 2) as repeat_customers
  from customers_of_window as active
  join first_days using (customer_id)
  group by active.order_month
)
select
  windows.order_month,
  windows.window_end_on,
  coalesce(counts.orders, 0)::bigint as orders,
  coalesce(counts.customers, 0) as customers,
  coalesce(counts.new_customers, 0) as new_customers,
  coalesce(counts.customers - counts.new_customers, 0) as returning_customers,
  coalesce(counts.window_customers, 0) as window_customers,
  coalesce(counts.repeat_customers, 0) as repeat_customers,
  ((20000 * counts.repeat_customers + counts.window_customers) // (2 * counts.window_customers))::integer
    as repeat_rate_bp,
  (select min(ordered_on) from order_days) <= windows.window_end_on - 364 as is_window_complete,
  windows.is_provisional
from windows
left join counts using (order_month)
