-- One row per currency × part: the trailing year's net goods revenue, split into four parts that add up to it.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
order_days as (
  select days.customer_id, days.currency, count(*) as order_days
  from {{ ref('int_order_days') }} as days
  join build on days.ordered_on > build.as_of - 365
  where days.orders > 0
  group by days.customer_id, days.currency
),
spend as (
  select
    lines.customer_id,
    lines.currency,
    subscribed.sku is not null as is_subscribed,
    sum(lines.amount_minor)::bigint as net_minor
  from {{ ref('int_order_lines') }} as lines
  join build on lines.ordered_on > build.as_of - 365
  left join {{ ref('int_order_subscribed_pairs') }} as subscribed
    on subscribed.as_of = build.as_of
    and subscribed.customer_id = lines.customer_id
    and subscribed.sku = lines.sku
  where lines.is_goods
  group by lines.customer_id, lines.currency, subscribed.sku is not null
),
regular as (
  select customer_id, currency, (12 * sum(potential_mrr))::decimal(38, 6) as regular
  from {{ ref('fct_subscription_opportunity') }}
  group by customer_id, currency
),
by_customer as (
  select
    spend.currency,
    spend.customer_id,
    case when spend.is_subscribed then 'subscribed' when order_days.order_days >= 2 then 'other_repeat' else 'one_order_day' end as part,
    (spend.net_minor - case when spend.is_subscribed then 0 else coalesce(regular.regular, 0) end)::decimal(38, 6)
      as revenue
  from spend
  left join order_days using (customer_id, currency)
  left join regular using (customer_id, currency)
  union all
  select currency, customer_id, 'regular', regular from regular
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
