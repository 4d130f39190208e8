-- One row per customer × day × currency with an order or a credit note; gap_days counts from the order day before,
-- over all currencies, and is null on the first order day and on days with credit notes only.
with days as (
  select
    customer_id,
    ordered_on,
    currency,
    count(*) filter (not is_credit) as orders,
    (coalesce(sum(net_minor) filter (not is_credit), 0))::bigint as sales_minor,
    (coalesce(sum(net_minor) filter (is_credit), 0))::bigint as credits_minor,
    arg_max(country, order_no) filter (not is_credit) as country
  from {{ ref('int_orders') }}
  group by customer_id, ordered_on, currency
),
order_days as (
  select distinct customer_id, ordered_on from days where orders > 0
),
gaps as (
  select
    customer_id,
    ordered_on,
    ordered_on - lag(ordered_on) over (partition by customer_id order by ordered_on) as gap_days
  from order_days
)
select
  days.customer_id,
  days.ordered_on,
  days.currency,
  days.orders,
  days.sales_minor,
  days.credits_minor,
  days.country,
  -- a day of two currencies is one order day: its first currency carries it
  gaps.customer_id is not null and row_number() over currencies_of_day = 1 as is_order_day,
  case when row_number() over currencies_of_day = 1 then gaps.gap_days end as gap_days
from days
left join gaps
  on gaps.customer_id = days.customer_id and gaps.ordered_on = days.ordered_on and days.orders > 0
window currencies_of_day as (
  partition by days.customer_id, days.ordered_on order by days.orders > 0 desc, days.currency
)
