-- Shares of customers by Wilson, shares of money by drawing the customers again and again, survival by Greenwood.
{% set shares_of_customers = [
  'logo_churn', 'logo_churn_voluntary', 'logo_churn_involuntary', 'logo_churn_other', 'subscription_churn',
  'trial_conversion', 'renewal_rate_count'
] -%}
{% set shares_of_money = [
  'nrr_1m', 'nrr_12m', 'grr_1m', 'grr_12m', 'gross_mrr_churn', 'net_mrr_churn', 'renewal_rate', 'dunning_recovery'
] -%}
with policy as (
  select min_customers from {{ ref('stg_meta__policy') }}
),
rates as (
  select
    figures.*,
    figures.customers < policy.min_customers as is_too_small,
    case
      when figures.metric_id in ('{{ shares_of_customers | join("', '") }}') then 'wilson'
      when figures.metric_id in ('{{ shares_of_money | join("', '") }}') then 'bootstrap'
      else 'greenwood'
    end as method
  from {{ ref('fct_metric_values') }} as figures
  cross join policy
  where figures.value is not null
    and (
      figures.metric_id in ('{{ (shares_of_customers + shares_of_money) | join("', '") }}')
      or starts_with(figures.metric_id, 'ltv_survival_')
    )
),
with_intervals as (
  select
    rates.*,
    case
      when rates.method = 'wilson' then {{ wilson('rates.numerator', 'rates.denominator') }}
      -- a few customers drawn again and again claim more than they know
      when rates.is_too_small then null
      when rates.method = 'bootstrap' then {'low': draws.low, 'high': draws.high}
      else {'low': survival.ltv_low, 'high': survival.ltv_high}
    end as bounds
  from rates
  left join {{ ref('int_rate_bootstrap') }} as draws
    on draws.month = rates.month
    and draws.currency = rates.currency
    and draws.segment = rates.segment
    and draws.metric_id = rates.metric_id
  left join {{ ref('fct_survival_ltv') }} as survival
    on survival.month = rates.month
    and survival.currency = rates.currency
    and survival.segment = rates.segment
    and 'ltv_survival_' || survival.horizon_months = rates.metric_id
)
select
  month,
  currency,
  segment,
  metric_id,
  numerator,
  denominator,
  value,
  customers,
  bounds.low as low,
  bounds.high as high,
  method,
  is_too_small,
  is_provisional
from with_intervals
