-- The difference of two shares of customers by Newcombe's hybrid of their Wilson intervals, of two shares of money within
-- the same draws of customers.
with rates as (
  select * from {{ ref('fct_metric_intervals') }} where method in ('wilson', 'bootstrap')
),
steps as (
  select unnest([1, 12]) as months_before, unnest(['month_before', 'year_before']) as compared_to
),
pairs as (
  select
    rates.*,
    steps.compared_to,
    earlier.month as earlier_month,
    earlier.value as earlier_value,
    earlier.customers as earlier_customers,
    earlier.low as earlier_low,
    earlier.high as earlier_high,
    rates.value - earlier.value as difference,
    rates.is_too_small or earlier.is_too_small as is_one_too_small
  from rates
  cross join steps
  join rates as earlier
    on earlier.month = {{ add_months('rates.month', '-steps.months_before') }}
    and earlier.currency = rates.currency
    and earlier.segment = rates.segment
    and earlier.metric_id = rates.metric_id
),
with_bounds as (
  select
    pairs.*,
    case
      when pairs.method = 'wilson' then {
        'low': pairs.difference - sqrt(
          (pairs.value - pairs.low) * (pairs.value - pairs.low)
          + (pairs.earlier_high - pairs.earlier_value) * (pairs.earlier_high - pairs.earlier_value)),
        'high': pairs.difference + sqrt(
          (pairs.high - pairs.value) * (pairs.high - pairs.value)
          + (pairs.earlier_value - pairs.earlier_low) * (pairs.earlier_value - pairs.earlier_low))
      }
      when pairs.is_one_too_small then null
      when pairs.compared_to = 'month_before' then {'low': draws.month_before_low, 'high': draws.month_before_high}
      else {'low': draws.year_before_low, 'high': draws.year_before_high}
    end as bounds
  from pairs
  left join {{ ref('int_rate_bootstrap') }} as draws
    on draws.month = pairs.month
    and draws.currency = pairs.currency
    and draws.segment = pairs.segment
    and draws.metric_id = pairs.metric_id
)
select
  month,
  currency,
  segment,
  metric_id,
  compared_to,
  earlier_month,
  value,
  earlier_value,
  difference,
  bounds.low as low,
  bounds.high as high,
  customers,
  earlier_customers,
  case
    when is_one_too_small then 'too_small'
    when bounds.low > 0 or bounds.high < 0 then 'changed'
    when bounds.low <= 0 and bounds.high >= 0 then 'within_noise'
    else 'no_interval'
  end as verdict,
  is_provisional
from with_bounds
