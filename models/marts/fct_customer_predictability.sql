-- What each customer adds to the parts of the trailing year's net goods revenue.
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
)
select
  spend.customer_id,
  spend.currency,
  case when spend.is_subscribed then 'subscribed' when order_days.order_days >= 2 then 'other_repeat' else 'one_order_day' end as part,
  (spend.net_minor - case when spend.is_subscribed then 0 else coalesce(regular.regular, 0) end)::decimal(38, 6)
    as revenue,
  coalesce(order_days.order_days, 0) as order_days
from spend
left join order_days using (customer_id, currency)
left join regular using (customer_id, currency)
union all
select regular.customer_id, regular.currency, 'regular' as part, regular.regular as revenue,
  coalesce(order_days.order_days, 0) as order_days
from regular
left join order_days using (customer_id, currency)
