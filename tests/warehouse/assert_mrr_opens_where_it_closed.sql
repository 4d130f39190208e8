-- A cell opens a month with what it closed the month before with, in its own currency.
select *
from (
  select
    *,
    lag(closing_mrr_native, 1, 0) over by_month as closed_before,
    lag(closing_customers, 1, 0) over by_month as customers_before
  from {{ ref('fct_mrr_months') }}
  window by_month as (partition by currency, segment, plan_id, acquisition_channel order by month)
) as months
where opening_mrr_native <> closed_before
  or opening_customers <> customers_before
