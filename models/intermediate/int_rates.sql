-- One row per currency: the constant rate to the reporting currency, or 1 in its own currency where none is known, so
-- that unlike currencies are never added. amount_currency says which of the two.
with policy as (
  select reporting_currency, constant_rate_set from {{ ref('stg_meta__policy') }}
),
constant_rates as (
  select from_currency as currency, arg_max(rate, rate_on) as rate
  from {{ ref('stg_billing__fx_rates') }}
  join policy on to_currency = reporting_currency and rate_set = constant_rate_set
  group by from_currency
),
-- of subscriptions, of what is billed and of what is paid
currencies as (
  select currency from {{ ref('int_item_versions') }}
  {% for document in ['invoices', 'credit_notes', 'payments', 'refunds', 'disputes'] -%}
  union
  select currency from {{ ref('stg_billing__' ~ document) }} where currency is not null
  {% endfor -%}
)
select
  currencies.currency,
  case
    when constant_rates.rate is not null then policy.reporting_currency
    else currencies.currency
  end as amount_currency,
  case
    when currencies.currency = policy.reporting_currency then 1
    else coalesce(constant_rates.rate, 1)
  end::decimal(18, 10) as constant_rate
from currencies
cross join policy
left join constant_rates using (currency)
where currencies.currency is not null
