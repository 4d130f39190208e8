-- One row per currency and month: the rates at its opening and close, and the one its movements are booked at
-- (policy fx_movements). A rate holds until the next one; before any, and in a currency without rates, the constant.
with policy as (
  select reporting_currency, fx_movements from {{ ref('stg_meta__policy') }}
),
daily_rates as (
  select from_currency as currency, rate_on, rate
  from {{ ref('stg_billing__fx_rates') }}
  join policy on to_currency = reporting_currency
  where rate_set = 'daily'
    and from_currency <> reporting_currency
),
closing as (
  select
    months.month,
    rates.currency,
    rates.amount_currency,
    rates.constant_rate,
    least(months.snapshot_on, build.as_of) as closed_on
  from {{ ref('int_report_months') }} as months
  cross join {{ ref('int_rates') }} as rates
  cross join {{ ref('stg_meta__build') }} as build
),
opening as (
  select
    *,
    {{ snapshot_day(add_months('month', -1)) }} as opened_on
  from closing
),
rated as (
  select
    opening.*,
    (
      select arg_max(daily.rate, daily.rate_on) from daily_rates as daily
      where daily.currency = opening.currency and daily.rate_on <= opening.opened_on
    ) as opening_daily,
    (
      select arg_max(daily.rate, daily.rate_on) from daily_rates as daily
      where daily.currency = opening.currency and daily.rate_on <= opening.closed_on
    ) as closing_daily
  from opening
)
select
  rated.month,
  rated.currency,
  rated.amount_currency,
  rated.constant_rate,
  case
    when policy.fx_movements = 'constant' or rated.amount_currency <> policy.reporting_currency then rated.constant_rate
    else coalesce(rated.opening_daily, rated.constant_rate)
  end::decimal(18, 10) as opening_rate,
  case
    when policy.fx_movements = 'constant' or rated.amount_currency <> policy.reporting_currency then rated.constant_rate
    else coalesce(rated.closing_daily, rated.constant_rate)
  end::decimal(18, 10) as closing_rate,
  rated.currency = policy.reporting_currency
    or rated.amount_currency = policy.reporting_currency and rated.opening_daily is not null as is_rate_known
from rated
cross join policy
