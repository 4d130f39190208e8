-- The start set of a window is who paid at the close of the month before it, in every segment and in every month.
with starts as (
  select
    (month - to_months(window_months::integer))::date as month, window_months, currency, segment,
    sum(start_mrr) as mrr, sum(start_customers) as customers
  from {{ ref('fct_retention') }}
  group by month, window_months, currency, segment
),
closings as (
  select
    months.month, windows.window_months, months.amount_currency as currency, months.segment,
    sum(case policy.fx_retention when 'booked' then months.closing_mrr else months.closing_mrr_constant end) as mrr, sum(months.closing_customers) as customers
  from {{ ref('fct_mrr_months') }} as months
  cross join (select unnest([1, 12]) as window_months) as windows
  cross join {{ ref('stg_meta__build') }} as build
  cross join {{ ref('stg_meta__policy') }} as policy
  where (months.month + to_months(windows.window_months::integer))::date <= build.as_of_month
  group by months.month, windows.window_months, months.amount_currency, months.segment
  having sum(months.closing_customers) > 0
)
select *
from closings
full join starts using (month, window_months, currency, segment)
where closings.mrr is distinct from starts.mrr
  or closings.customers is distinct from starts.customers
