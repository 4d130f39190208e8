-- One row per customer × as-of day at which it is at risk. Every column up to the label is made of days up to as_of.
-- Whole numbers are summed, so the same rows give the same doubles whatever their order.
with days as (
  select as_of, is_month_end, is_origin from {{ ref('int_order_snapshot_days') }}
),
build as (
  select as_of as built_as_of from {{ ref('stg_meta__build') }}
),
settings as (
  select horizon_days, active_days from {{ ref('stg_meta__order_snapshots') }}
),
first_data as (
  select min(ordered_on) as first_data_on from {{ ref('int_order_days') }}
),
goods_days as (
  select customer_id, purchased_on, currency, count(*) as skus
  from {{ ref('int_order_purchase_days') }}
  where scope = 'sku'
  group by customer_id, purchased_on, currency
),
order_days as (
  select orders.*, coalesce(goods_days.skus, 0) as skus
  from {{ ref('int_order_days') }} as orders
  left join goods_days
    on goods_days.customer_id = orders.customer_id
    and goods_days.purchased_on = orders.ordered_on
    and goods_days.currency = orders.currency
),
past as (
  select
    days.as_of,
    days.is_month_end,
    days.is_origin,
    orders.*,
    days.as_of - orders.ordered_on as age
  from days
  join order_days as orders on orders.ordered_on <= days.as_of
),
last_orders as (
  select as_of, customer_id, currency as last_currency, country as last_country, ordered_on as last_ordered_on
  from past
  where orders > 0
  qualify row_number() over (partition by as_of, customer_id order by ordered_on desc, currency) = 1
),
activity as (
  select
    past.as_of,
    past.is_month_end,
    past.is_origin,
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
    count(*) filter (past.is_order_day and past.age between 365 - settings.horizon_days and 364)
      as orders_same_season,
    sum(past.sales_minor) filter (
      past.currency = last_orders.last_currency and past.age between 365 - settings.horizon_days and 364
    ) as amount_same_season,
    sum(past.skus) as sku_days,
    sum(past.skus) filter (past.ordered_on = last_orders.last_ordered_on) as skus_last_order,
    sum(past.sales_minor + past.credits_minor) filter (past.currency = last_orders.last_currency and past.age < 90)
      as amount_90,
    sum(past.sales_minor + past.credits_minor) filter (past.currency = last_orders.last_currency and past.age < 365)
      as amount_365,
    sum(past.sales_minor) filter (past.currency = last_orders.last_currency and past.age < 180) as sales_180,
    sum(past.credits_minor) filter (past.currency = last_orders.last_currency and past.age < 180) as credits_180,
    count(past.gap_days) as gaps,
    sum(past.gap_days) as gap_sum,
    sum(past.gap_days * past.gap_days) as gap_square_sum,
    min(past.gap_days) as gap_min,
    median(past.gap_days) as gap_median,
    max_by(past.gap_days, past.ordered_on, 3) filter (past.gap_days is not null) as last_gaps,
    count(distinct past.age // 30) filter (past.is_order_day and past.age < 360) as active_months,
    count(distinct past.age // 90) filter (past.is_order_day) as active_quarters,
    sum(past.sales_minor) filter (past.currency = last_orders.last_currency) as sales_minor,
    sum(past.sales_minor::hugeint * past.sales_minor) filter (past.currency = last_orders.last_currency)
      as sales_square_sum,
    count(*) filter (past.currency = last_orders.last_currency and past.orders > 0) as sales_days,
    arg_max(past.sales_minor, past.ordered_on)
      filter (past.currency = last_orders.last_currency and past.orders > 0) as last_sales_minor
  from past
  join last_orders using (as_of, customer_id)
  cross join settings
  group by
    past.as_of,
    past.is_month_end,
    past.is_origin,
    past.customer_id,
    last_orders.last_currency,
    last_orders.last_country,
    settings.active_days
  having min(past.age) filter (past.is_order_day) < settings.active_days
),
-- BG/NBD in closed form (Fader, Hardie and Lee 2005): order rates vary by a gamma of r = 3/4 whose scale is the usual
-- days between orders of the day's customers, the chance to leave at an order by a beta of a = 1/8 and b = 4.
-- Parameters: near those that fit Online Retail II before its first test date.
usual as (
  select as_of, sum(tenure_days)::double / nullif(sum(gaps), 0)::double as usual_gap from activity group by as_of
),
rates as (
  select
    activity.as_of,
    activity.customer_id,
    case
      when activity.gaps = 0 then 1
      else 1 / (1 + 0.125 / (activity.gaps + 3) * exp(least(500, (activity.gaps + 0.75) * ln(
        (usual.usual_gap + activity.tenure_days)
        / (usual.usual_gap + activity.tenure_days - activity.days_since_order)
      ))))
    end as chance_to_be_there,
    exp(-(activity.gaps + 0.75) * ln(
      (usual.usual_gap + activity.tenure_days + settings.horizon_days) / (usual.usual_gap + activity.tenure_days)
    )) as chance_of_pause
  from activity
  cross join settings
  join usual using (as_of)
),
goods as (
  select
    days.as_of,
    purchases.customer_id,
    purchases.sku,
    bool_or(days.as_of - purchases.purchased_on < 90) as is_in_90,
    bool_or(days.as_of - purchases.purchased_on between 90 and 179) as is_in_91_180,
    count(distinct purchases.purchased_on) as purchase_days
  from days
  join {{ ref('int_order_purchase_days') }} as purchases
    on purchases.purchased_on > days.as_of - 365 and purchases.purchased_on <= days.as_of
  where purchases.scope = 'sku'
  group by days.as_of, purchases.customer_id, purchases.sku
),
breadth as (
  select
    as_of,
    customer_id,
    count(*) filter (is_in_90 or is_in_91_180) as skus_180,
    count(*) filter (is_in_90) as skus_90,
    count(*) filter (is_in_91_180) as skus_91_180,
    sum(purchase_days)::double / count(*)::double as sku_days_365,
    (count(*) filter (purchase_days > 1))::double / count(*)::double as repeat_share_365
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
-- who comes back, and when: nobody can act in the first week, so a week later is looked at too
next_orders as (
  select
    days.as_of,
    orders.customer_id,
    min(orders.ordered_on) - days.as_of as days_to_next_order,
    bool_or(orders.ordered_on > days.as_of + 7) as is_back_after_a_week
  from days
  cross join settings
  join {{ ref('int_order_days') }} as orders
    on orders.ordered_on > days.as_of
    and orders.ordered_on <= days.as_of + settings.horizon_days + 7
    and orders.orders > 0
  group by days.as_of, orders.customer_id
)
select
  activity.customer_id,
  activity.as_of,
  activity.currency,
  'non_contract' as commitment_class,
  activity.is_month_end,
  activity.is_origin,
  activity.as_of + settings.horizon_days as label_closes_on,
  activity.as_of + settings.horizon_days <= build.built_as_of as is_label_closed,
  case
    when activity.as_of + settings.horizon_days <= build.built_as_of
      then coalesce(next_orders.days_to_next_order > settings.horizon_days, true)
  end as churned_90,
  case
    when activity.as_of + settings.horizon_days + 7 <= build.built_as_of
      then not coalesce(next_orders.is_back_after_a_week, false)
  end as churned_after_a_week,
  case
    when
      activity.as_of + settings.horizon_days <= build.built_as_of
      and next_orders.days_to_next_order <= settings.horizon_days
      then next_orders.days_to_next_order
  end as days_to_next_order,
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
  activity.gap_min,
  activity.gap_median,
  activity.days_since_order::double / activity.gap_median as recency_over_median,
  ln(
    list_sum(activity.last_gaps)::double * activity.gaps::double
    / (len(activity.last_gaps) * activity.gap_sum)::double
  ) as gap_change,
  coalesce(breadth.skus_180, 0) as skus_180,
  case
    when activity.tenure_days >= 179
      then ln((coalesce(breadth.skus_90, 0) + 1)::double / (coalesce(breadth.skus_91_180, 0) + 1)::double)
  end as breadth_change,
  -activity.credits_180::double / nullif(activity.sales_180, 0)::double as credit_share_180,
  case
    when activity.tenure_days >= 365 - settings.horizon_days and first_data.first_data_on <= activity.as_of - 364
      then activity.orders_same_season
  end as orders_same_season,
  case
    when activity.tenure_days >= 365 - settings.horizon_days and first_data.first_data_on <= activity.as_of - 364
      then coalesce(activity.amount_same_season, 0)
  end::bigint as amount_same_season,
  activity.active_months,
  activity.active_quarters::double / (activity.tenure_days // 90 + 1)::double as active_quarter_share,
  1 - rates.chance_to_be_there * (1 - rates.chance_of_pause) as silence_chance,
  activity.sales_minor::double / activity.sales_days::double as mean_order_amount,
  activity.last_sales_minor::bigint as last_order_amount,
  case
    when activity.sales_days >= 2 and activity.sales_minor > 0
      then sqrt(
        (activity.sales_days * activity.sales_square_sum - activity.sales_minor::hugeint * activity.sales_minor)::double
        * activity.sales_days::double / (activity.sales_days - 1)::double
      ) / activity.sales_minor::double
  end as order_amount_cv,
  activity.sku_days::bigint as sku_days,
  activity.skus_last_order::bigint as skus_last_order,
  breadth.sku_days_365,
  breadth.repeat_share_365,
  activity.tenure_days::double / nullif(activity.as_of - first_data.first_data_on, 0)::double as history_share,
  month(activity.as_of) as month_of_year,
  case when 50 * countries.customers >= countries.all_customers then activity.last_country else 'other' end
    as country_group
from activity
cross join build
cross join settings
cross join first_data
left join rates using (as_of, customer_id)
left join breadth using (as_of, customer_id)
left join countries
  on countries.as_of = activity.as_of and countries.last_country is not distinct from activity.last_country
left join next_orders
  on next_orders.as_of = activity.as_of and next_orders.customer_id = activity.customer_id
