-- One row per currency × part: the trailing year's net goods revenue, split into four parts that add up to it.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
by_customer as (
  select customer_id, currency, part, revenue from {{ ref('fct_customer_predictability') }}
),
parts as (
  select *
  from (values ('subscribed', 1, true), ('regular', 2, true), ('other_repeat', 3, false), ('one_order_day', 4, false))
    as parts (part, part_no, is_predictable)
),
currencies as (
  select currency, sum(revenue)::decimal(38, 6) as total_revenue from by_customer group by currency
),
sums as (
  select currency, part, sum(revenue)::decimal(38, 6) as revenue, count(distinct customer_id) as customers
  from by_customer
  group by currency, part
)
select
  build.as_of,
  currencies.currency,
  parts.part,
  parts.part_no,
  parts.is_predictable,
  coalesce(sums.revenue, 0)::decimal(38, 6) as revenue,
  currencies.total_revenue,
  case
    when currencies.total_revenue > 0
      then round(coalesce(sums.revenue, 0)::double * 10000 / currencies.total_revenue::double)::integer
  end as share_bp,
  coalesce(sums.customers, 0) as customers
from currencies
cross join parts
cross join build
left join sums on sums.currency = currencies.currency and sums.part = parts.part
