-- What is expanded on reading adds up like what is stored: in the as-of month and in four months of chance (others in every
-- build) customers open, move and close as the cells do, at constant rates and at those of the day.
with build as (
  select build_id, as_of_month from {{ ref('stg_meta__build') }}
),
chosen as (
  select month
  from {{ ref('int_months') }}
  cross join build
  qualify month = as_of_month or row_number() over (order by hash(build_id || month)) <= 4
),
customers as (
  select
    month, currency,
    sum(opening_mrr) as opening_mrr, sum(closing_mrr) as closing_mrr,
    bool_and(opening_mrr + transferred_mrr + delta = closing_mrr) as is_closed
  from {{ ref('fct_customer_months') }}
  semi join chosen using (month)
  group by month, currency
),
balances as (
  select month, currency, sum(closing_mrr) as closing_mrr
  from {{ ref('fct_customer_month_balances') }}
  semi join chosen using (month)
  group by month, currency
),
cells as (
  select
    months.month, months.amount_currency as currency,
    sum(months.opening_mrr_native * rates.constant_rate) as opening_mrr,
    sum(months.closing_mrr_native * rates.constant_rate) as closing_mrr,
    sum(months.closing_mrr) as closing_mrr_of_the_day
  from {{ ref('fct_mrr_months') }} as months
  join {{ ref('int_rates') }} as rates using (currency)
  semi join chosen using (month)
  group by months.month, months.amount_currency
)
select *
from cells
full join customers using (month, currency)
full join balances using (month, currency)
where not coalesce(customers.is_closed, true)
  or coalesce(customers.opening_mrr, 0) <> coalesce(cells.opening_mrr, 0)
  or coalesce(customers.closing_mrr, 0) <> coalesce(cells.closing_mrr, 0)
  or coalesce(balances.closing_mrr, 0) <> coalesce(cells.closing_mrr_of_the_day, 0)
