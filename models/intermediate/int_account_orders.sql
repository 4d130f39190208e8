-- One row per as-of day and paying customer that has ordered by then beside what it subscribes to, as known on that day.
-- The definitions are those of fct_customer_snapshots; amounts are left by currency.
with days as (
  select as_of from {{ ref('int_account_days') }}
),
customers as (
  select as_of, billed_customer_id, customer_id from {{ ref('int_account_customers') }}
),
first_data as (
  select min(greatest(ordered_on, known_from)) as first_data_on
  from {{ ref('stg_orders__orders_known') }}
  where ordered_on is not null
),
lines as (
  select
    customers.as_of,
    customers.customer_id,
    orders.order_id,
    orders.ordered_on,
    customers.as_of - orders.ordered_on as age,
    orders.currency,
    orders.is_credit,
    known.sku,
    known.amount_minor,
    coalesce(skus.is_goods, true) and not orders.is_credit and known.quantity > 0 and known.amount_minor > 0
      as is_goods_purchase
  from days
  join {{ ref('stg_orders__orders_known') }} as orders
    on orders.ordered_on <= days.as_of and orders.known_from <= days.as_of and orders.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = orders.customer_id
  left join {{ ref('stg_orders__order_lines_known') }} as known
    on known.order_id = orders.order_id and known.known_from <= days.as_of and known.known_until > days.as_of
  left join {{ ref('stg_orders__skus_known') }} as skus
    on skus.sku = known.sku and skus.known_from <= days.as_of and skus.known_until > days.as_of
),
order_days as (
  select
    as_of,
    customer_id,
    ordered_on,
    age,
    ordered_on - lag(ordered_on) over (partition by as_of, customer_id order by ordered_on) as gap_days
  from (select distinct as_of, customer_id, ordered_on, age from lines where not is_credit) as distinct_days
),
rhythm as (
  select
    as_of,
    customer_id,
    max(age) as known_days,
    min(age) as days_since_order,
    count(*) filter (age < 30) as orders_30,
    count(*) filter (age < 90) as orders_90,
    count(*) filter (age between 90 and 179) as orders_91_180,
    count(*) filter (age < 180) as orders_180,
    count(*) filter (age < 365) as orders_365,
    count(*) filter (age between 275 and 364) as orders_same_season,
    count(gap_days) as gaps,
    sum(gap_days) as gap_sum,
    sum(gap_days * gap_days) as gap_square_sum
  from order_days
  group by as_of, customer_id
),
last_currencies as (
  select as_of, customer_id, arg_max(currency, (ordered_on, order_id)) as currency
  from lines
  where not is_credit
  group by as_of, customer_id
),
credited as (
  select
    as_of,
    customer_id,
    sum(amount_minor) filter (age < 180 and not is_credit) as sales_180,
    sum(amount_minor) filter (age < 180 and is_credit) as credits_180
  from lines
  join last_currencies using (as_of, customer_id, currency)
  group by as_of, customer_id
),
sums as (
  select lines.as_of, lines.customer_id, lines.currency, back.days_back, sum(lines.amount_minor)::bigint as amount_minor
  from lines
  join (select unnest([90, 365]) as days_back) as back on lines.age < back.days_back
  where lines.amount_minor is not null
  group by lines.as_of, lines.customer_id, lines.currency, back.days_back
),
amounts as (
  select
    sums.as_of,
    sums.customer_id,
    list({
      'days_back': sums.days_back,
      'currency': sums.currency,
      'amount_minor': sums.amount_minor,
      'rate': case when sums.currency = policy.reporting_currency then 1 else rates.rate end::decimal(18, 10)
    } order by sums.days_back, sums.currency) as amounts
  from sums
  cross join {{ ref('stg_meta__policy') }} as policy
  left join {{ ref('int_account_rates') }} as rates using (as_of, currency)
  group by sums.as_of, sums.customer_id
),
breadth as (
  select
    as_of,
    customer_id,
    count(distinct sku) as skus_180,
    count(distinct sku) filter (age < 90) as skus_90,
    count(distinct sku) filter (age >= 90) as skus_91_180
  from lines
  where is_goods_purchase and age < 180
  group by as_of, customer_id
)
select
  rhythm.as_of,
  rhythm.customer_id,
  rhythm.days_since_order,
  rhythm.orders_30,
  rhythm.orders_90,
  rhythm.orders_180,
  case when first_data.first_data_on <= rhythm.as_of - 364 then rhythm.orders_365 end as orders_365,
  -- by currency, with its constant rate to the reporting currency as known on the day, null where none is
  amounts.amounts,
  case
    when rhythm.known_days >= 179
      then ln((rhythm.orders_90 + 0.5)::double / (rhythm.orders_91_180 + 0.5)::double)
  end as order_trend,
  rhythm.gap_sum::double / nullif(rhythm.gaps, 0)::double as gap_mean,
  case
    when rhythm.gaps >= 2
      then sqrt(
        (rhythm.gaps * rhythm.gap_square_sum - rhythm.gap_sum * rhythm.gap_sum)::double
        / (rhythm.gaps * (rhythm.gaps - 1))::double
      )
  end as gap_sd,
  rhythm.days_since_order::double * rhythm.gaps::double / nullif(rhythm.gap_sum, 0)::double as recency_over_gap,
  coalesce(breadth.skus_180, 0) as skus_180,
  -coalesce(credited.credits_180, 0)::double / nullif(credited.sales_180, 0)::double as credit_share_180,
  case
    when rhythm.known_days >= 275 and first_data.first_data_on <= rhythm.as_of - 364 then rhythm.orders_same_season
  end as orders_same_season,
  case
    when rhythm.known_days >= 179
      then ln((coalesce(breadth.skus_90, 0) + 1)::double / (coalesce(breadth.skus_91_180, 0) + 1)::double)
  end as breadth_change
from rhythm
cross join first_data
left join credited using (as_of, customer_id)
left join amounts using (as_of, customer_id)
left join breadth using (as_of, customer_id)
