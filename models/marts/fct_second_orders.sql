-- One row per customer that ever ordered: days to the second order day, censored at the as-of day.
with order_days as (
  select distinct customer_id, ordered_on from {{ ref('int_order_days') }} where orders > 0
),
first_two as (
  select
    customer_id,
    min(ordered_on) as first_order_on,
    list_sort(list(ordered_on))[2] as second_order_on
  from order_days
  group by customer_id
)
select
  first_two.customer_id,
  date_trunc('month', first_two.first_order_on)::date as cohort_month,
  first_two.first_order_on,
  first_two.second_order_on,
  first_two.second_order_on - first_two.first_order_on as days_to_second,
  coalesce(first_two.second_order_on, build.as_of) - first_two.first_order_on as observed_days,
  first_two.second_order_on is null as is_censored
from first_two
cross join {{ ref('stg_meta__build') }} as build
