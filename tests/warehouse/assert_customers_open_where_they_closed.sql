-- A customer opens a day or month of change with what it closed the one before with, and stands in one cell, where it pays.
select customer_id, changed_on, opening, closed_before
from (
  select *, lag(closing, 1, 0) over (partition by customer_id, amount_currency order by changed_on) as closed_before
  from {{ ref('int_customer_days') }}
) as days
where opening <> closed_before
  or opening + transferred + delta <> closing
union all
select customer_id, month, opening_mrr, closed_before
from (
  select *, lag(closing_mrr, 1, 0) over (partition by customer_id, currency order by month) as closed_before
  from {{ ref('fct_customer_month_changes') }}
) as months
where opening_mrr <> closed_before
union all
select segment || ' ' || plan_id, month, closing_customers, closing_mrr_native
from {{ ref('fct_mrr_months') }}
where closing_customers > 0 and closing_mrr_native = 0
