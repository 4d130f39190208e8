-- One row per as-of day and currency: the constant rate to the reporting currency, as known on that day.
select days.as_of, known.from_currency as currency, arg_max(known.rate, known.rate_on) as rate
from {{ ref('int_account_days') }} as days
cross join {{ ref('stg_meta__policy') }} as policy
join {{ ref('stg_billing__fx_rates_known') }} as known
  on known.rate_on <= days.as_of and known.known_from <= days.as_of and known.known_until > days.as_of
  and known.to_currency = policy.reporting_currency
  and known.rate_set = policy.constant_rate_set
group by days.as_of, known.from_currency
