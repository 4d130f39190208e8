-- The cells of a month sum to its customers: balances, movements by category (the policy nets them) and heads.
with cells as (
  select
    month,
    amount_currency as currency,
    sum(closing_mrr_constant) as closing_mrr,
    sum(entered_mrr + left_mrr) as transferred_mrr,
    sum(closing_customers) as customers
  from {{ ref('fct_mrr_months') }}
  group by month, amount_currency
),
customers as (
  select months.month, changes.currency, sum(changes.closing_mrr) as closing_mrr, count(*) as customers
  from {{ ref('int_months') }} as months
  join {{ ref('fct_customer_month_changes') }} as changes
    on changes.month <= months.month
    and changes.until_month > months.month
    and changes.closing_mrr > 0
  group by months.month, changes.currency
)
select *
from cells
full join customers using (month, currency)
where coalesce(cells.closing_mrr, 0) <> coalesce(customers.closing_mrr, 0)
  or coalesce(cells.customers, 0) <> coalesce(customers.customers, 0)
