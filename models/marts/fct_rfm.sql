-- One row per customer × currency with an order day in the 365 days that end with the as-of day.
with recent as (
  select
    days.customer_id,
    days.currency,
    arg_max(days.country, days.ordered_on) filter (days.orders > 0) as country,
    max(days.ordered_on) filter (days.orders > 0) as last_order_on,
    build.as_of - max(days.ordered_on) filter (days.orders > 0) as recency_days,
    count(*) filter (days.orders > 0) as frequency,
    sum(days.orders)::bigint as orders,
    sum(days.sales_minor + days.credits_minor)::bigint as money_minor
  from {{ ref('int_order_days') }} as days
  join {{ ref('stg_meta__build') }} as build on days.ordered_on > build.as_of - 365
  group by days.customer_id, days.currency, build.as_of
  having count(*) filter (days.orders > 0) > 0
),
ranked as (
  select
    *,
    count(*) over (partition by currency) as customers,
    rank() over (partition by currency order by recency_days desc) - 1 as less_recent,
    rank() over (partition by currency order by frequency) - 1 as less_frequent,
    rank() over (partition by currency order by money_minor) - 1 as less_money
  from recent
),
scored as (
  select
    *,
    (5 * less_recent // customers + 1)::integer as recency_score,
    (5 * less_frequent // customers + 1)::integer as frequency_score,
    (5 * less_money // customers + 1)::integer as money_score
  from ranked
)
select
  customer_id,
  currency,
  country,
  last_order_on,
  recency_days,
  frequency,
  orders,
  money_minor,
  recency_score,
  frequency_score,
  money_score,
  recency_score::varchar || frequency_score::varchar || money_score::varchar as rfm
from scored
