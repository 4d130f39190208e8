-- One row per customer × as-of day at which it is at risk. Every column up to the label is made of days up to as_of.
-- Whole numbers are summed, so the same rows give the same doubles whatever their order.
with days as (
  select as_of, is_month_end from {{ ref('int_order_snapshot_days') }}
),
build as (
  select as_of as built_as_of from {{ ref('stg_meta__build') }}
),
first_data as (
  select min(ordered_on) as first_data_on from {{ ref('int_order_days') }}
),
past as (
  select
    days.as_of,
    days.is_month_end,
    orders.*,
    days.as_of - orders.ordered_on as age
  from days
  join {{ ref('int_order_days') }} as orders on orders.ordered_on <= days.as_of
),
last_orders as (
  select as_of, customer_id, currency as last_currency, country as last_country
  from past
  where orders > 0
  qualify row_number() over (partition by as_of, customer_id order by ordered_on desc, currency) = 1
),
activity as (
  select
    past.as_of,
    past.is_month_end,
    past.customer_id,
    last_orders.last_currency as currency,
    last_orders.last_country,
    past.as_of - min(past.ordered_on) filter (past.is_order_day) as tenure_days,
    count(*) filter (past.is_order_day) as order_days,
    min(past.age) filter (past.is_order_day) as days_since_order,
    count(*) filter (past.is_order_day and past.age < 30) as orders_30,
    count(*) filter (past.is_order_day and past.age < 90) as orders_90,
    count(*) filter (past.is_order_day and past.age between 90 and 179) as orders_91_180,
    count(*) filter (past.is_order_day and past.age < 180) as orders_180,
    count(*) filter (past.is_order_day and past.age < 365) as orders_365,
    count(*) filter (past.is_order_day and past.age between 275 and 364) as orders_same_season,
    sum(past.sales_minor + past.credits_minor) filter (past.currency = last_orders.last_currency and past.age < 90)
      as amount_90,
    sum(past.sales_minor + past.credits_minor) filter (past.currency = last_orders.last_currency and past.age < 365)
      as amount_365,
    sum(past.sales_minor) filter (past.currency = last_orders.last_currency and past.age < 180) as sales_180,
    sum(past.credits_minor) filter (past.currency = last_orders.last_currency and past.age < 180) as credits_180,
    count(past.gap_days) as gaps,
    sum(past.gap_days) as gap_sum,
    sum(past.gap_days * past.gap_days) as gap_square_sum
  from past
  join last_orders using (as_of, customer_id)
  group by past.as_of, past.is_month_end, past.customer_id, last_orders.last_currency, last_orders.last_country
  having min(past.age) filter (past.is_order_day) < 180
),
goods as (
  select
    days.as_of,
    purchases.customer_id,
    purchases.sku,
    bool_or(days.as_of - purchases.purchased_on < 90) as is_in_90,
    bool_or(days.as_of - purchases.purchased_on >= 90) as is_in_91_180
  from days
  join {{ ref('int_order_purchase_days') }} as purchases
    on purchases.purchased_on > days.as_of - 180 and purchases.purchased_on <= days.as_of
  where purchases.scope = 'sku'
  group by days.as_of, purchases.customer_id, purchases.sku
),
breadth as (
  select
    as_of,
    customer_id,
    count(*) as skus_180,
    count(*) filter (is_in_90) as skus_90,
    count(*) filter (is_in_91_180) as skus_91_180
  from goods
  group by as_of, customer_id
),
countries as (
  select
    as_of,
    last_country,
    count(*) as customers,
    sum(count(*)) over (partition by as_of) as all_customers
  from activity
  group by as_of, last_country
),
later_orders as (
  select distinct days.as_of, orders.customer_id
  from days
  join {{ ref('int_order_days') }} as orders
    on orders.ordered_on > days.as_of and orders.ordered_on <= days.as_of + 90 and orders.orders > 0
)
select
  activity.customer_id,
  activity.as_of,
  activity.currency,
  'non_contract' as commitment_class,
  activity.is_month_end,
  activity.as_of + 90 as label_closes_on,
  activity.as_of + 90 <= build.built_as_of as is_label_closed,
  case when activity.as_of + 90 <= build.built_as_of then later_orders.customer_id is null end as churned_90,
  coalesce(activity.amount_365, 0)::bigint as trailing_revenue_minor,
  activity.tenure_days,
  activity.order_days,
  activity.days_since_order,
  activity.orders_30,
  activity.orders_90,
  activity.orders_180,
  case when first_data.first_data_on <= activity.as_of - 364 then activity.orders_365 end as orders_365,
  coalesce(activity.amount_90, 0)::bigint as amount_90,
  case when first_data.first_data_on <= activity.as_of - 364 then activity.amount_365 end::bigint as amount_365,
  case
    when activity.tenure_days >= 179
      then ln((activity.orders_90 + 0.5)::double / (activity.orders_91_180 + 0.5)::double)
  end as order_trend,
  activity.gap_sum::double / nullif(activity.gaps, 0)::double as gap_mean,
  case
    when activity.gaps >= 2
      then sqrt(
        (activity.gaps * activity.gap_square_sum - activity.gap_sum * activity.gap_sum)::double
        / (activity.gaps * (activity.gaps - 1))::double
      )
  end as gap_sd,
  activity.days_since_order::double * activity.gaps::double / nullif(activity.gap_sum, 0)::double
    as recency_over_gap,
  coalesce(breadth.skus_180, 0) as skus_180,
  case
    when activity.tenure_days >= 179
      then ln((coalesce(breadth.skus_90, 0) + 1)::double / (coalesce(breadth.skus_91_180, 0) + 1)::double)
  end as breadth_change,
  -activity.credits_180::double / nullif(activity.sales_180, 0)::double as credit_share_180,
  case
    when activity.tenure_days >= 275 and first_data.first_data_on <= activity.as_of - 364
      then activity.orders_same_season
  end as orders_same_season,
  month(activity.as_of) as month_of_year,
  case when 50 * countries.customers >= countries.all_customers then activity.last_country else 'other' end
    as country_group
from activity
cross join build
cross join first_data
left join breadth using (as_of, customer_id)
left join countries
  on countries.as_of = activity.as_of and countries.last_country is not distinct from activity.last_country
left join later_orders
  on later_orders.as_of = activity.as_of and later_orders.customer_id = activity.customer_id
