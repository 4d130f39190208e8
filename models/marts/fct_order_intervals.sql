-- The shares of customers and of pairs among orders, which have no subscription and so stand in no fct_metric_values.
with policy as (
  select min_customers from {{ ref('stg_meta__policy') }}
),
rates as (
  select
    'repeat_rate' as metric_id, order_month as month, 0 as age_months, 'all' as currency, 'all' as kind,
    repeat_customers as numerator, window_customers as denominator, is_provisional
  from {{ ref('fct_repeat_months') }}
  union all
  select
    'order_cohort_customers' as metric_id, cohort_month as month, age_months, currency, 'all' as kind,
    active_customers as numerator, cohort_customers as denominator, is_provisional
  from {{ ref('fct_order_cohorts') }}
  union all
  select
    'hit_rate' as metric_id, date_trunc('month', measured_on)::date as month, 0 as age_months, currency,
    pair_kind || ' ' || purchase_days_class as kind,
    hits as numerator, pairs as denominator, false as is_provisional
  from {{ ref('fct_opportunity_hit_rates') }}
),
with_bounds as (
  select
    rates.*,
    rates.denominator < policy.min_customers as is_too_small,
    {{ wilson('rates.numerator', 'rates.denominator') }} as bounds
  from rates
  cross join policy
  where rates.denominator > 0
)
select
  metric_id,
  month,
  age_months::integer as age_months,
  currency,
  kind,
  numerator::bigint as numerator,
  denominator::bigint as denominator,
  numerator::double / denominator::double as value,
  bounds.low as low,
  bounds.high as high,
  is_too_small,
  is_provisional
from with_bounds
