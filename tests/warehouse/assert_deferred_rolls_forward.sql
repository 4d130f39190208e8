-- Opening, billed, recognised and credited give the close of every line and month, and a line opens where it closed: so
-- every sum of lines rolls forward too, by currency and month as by customer.
with months as (
  select
    *,
    lag(deferred_closing_minor, 1, 0) over (partition by document_kind, line_id order by month) as closed_minor
  from {{ ref('fct_revenue_months') }}
)
select document_kind, line_id, month::varchar as month
from months
where deferred_opening_minor + billed_minor - recognised_minor - credited_minor <> deferred_closing_minor
  or deferred_opening_minor <> closed_minor
union all
-- the waterfall holds the same, and runs out
select 'waterfall' as document_kind, currency as line_id, issued_month::varchar as month
from {{ ref('fct_deferred_waterfall') }}
group by currency, issued_month
having sum(issued_minor) <> sum(recognised_minor)
union all
select 'waterfall' as document_kind, coalesce(waterfall.currency, revenue.currency) as line_id,
  coalesce(waterfall.month, revenue.month)::varchar as month
from (
  select recognised_month as month, currency, sum(recognised_minor) as recognised_minor
  from {{ ref('fct_deferred_waterfall') }}
  where not is_scheduled
  group by recognised_month, currency
) as waterfall
full join (
  select month, currency, sum(recognised_minor) as recognised_minor from {{ ref('fct_revenue_months') }} group by month, currency
) as revenue using (month, currency)
where coalesce(waterfall.recognised_minor, 0) <> coalesce(revenue.recognised_minor, 0)
