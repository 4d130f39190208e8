-- A sales and marketing cost in another currency needs a constant rate, or the cost of a new customer is too low.
select distinct costs.currency
from {{ ref('stg_crm__sales_marketing_costs') }} as costs
cross join {{ ref('stg_meta__policy') }} as policy
where costs.currency <> policy.reporting_currency
  and not exists (
    select 1
    from {{ ref('stg_billing__fx_rates') }} as rates
    where rates.from_currency = costs.currency
      and rates.to_currency = policy.reporting_currency
      and rates.rate_set = policy.constant_rate_set
  )
