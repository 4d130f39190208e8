-- An amount in another currency than the reporting one needs a constant and, from its first month on, a daily rate. Without
-- them the totals in the reporting currency lack it: add the missing rates to the rates file.
with used as (
  select month, currency from {{ ref('fct_mrr_months') }}
  where closing_mrr_native <> 0 or opening_mrr_native <> 0
  union
  select date_trunc('month', event_on)::date as month, currency from {{ ref('int_invoice_changes') }}
  union
  select date_trunc('month', event_on)::date as month, currency from {{ ref('int_cash_events') }}
  union
  select date_trunc('month', issued_on)::date as month, currency from {{ ref('int_revenue_lines') }}
)
select rates.month, rates.currency
from {{ ref('int_month_rates') }} as rates
join used using (month, currency)
where not rates.is_rate_known
