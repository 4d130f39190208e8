-- A currency with MRR needs a constant rate and, from its first month on, a daily one. A company without a rate for a
-- currency has no totals in the reporting currency.
select distinct rates.month, rates.currency
from {{ ref('int_month_rates') }} as rates
join {{ ref('fct_mrr_months') }} as cells
  on cells.month = rates.month
  and cells.currency = rates.currency
where not rates.is_rate_known
  and (cells.closing_mrr_native <> 0 or cells.opening_mrr_native <> 0)
