-- A month opens at the rate the one before closed with, and closes at the last rate known on its closing day.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
policy as (
  select reporting_currency, fx_movements from {{ ref('stg_meta__policy') }}
),
rates as (
  select
    rates.*,
    least(months.snapshot_on, build.as_of) as closed_on,
    lag(rates.closing_rate) over (partition by rates.currency order by rates.month) as closed_before
  from {{ ref('int_month_rates') }} as rates
  join {{ ref('int_report_months') }} as months using (month)
  cross join build
),
daily as (
  select fx.from_currency as currency, fx.rate_on, fx.rate
  from {{ ref('stg_billing__fx_rates') }} as fx
  join policy on fx.to_currency = policy.reporting_currency
  where fx.rate_set = 'daily' and policy.fx_movements <> 'constant'
)
select rates.month, rates.currency, rates.opening_rate, rates.closing_rate, rates.closed_before, daily.rate
from rates
asof left join daily
  on daily.currency = rates.currency
  and daily.rate_on <= rates.closed_on
where rates.opening_rate <> rates.closed_before
  or rates.currency = (select reporting_currency from policy) and rates.closing_rate <> 1
  or rates.currency <> (select reporting_currency from policy)
    and rates.closing_rate <> case
      when rates.amount_currency = (select reporting_currency from policy) then coalesce(daily.rate, rates.constant_rate)
      else rates.constant_rate
    end
