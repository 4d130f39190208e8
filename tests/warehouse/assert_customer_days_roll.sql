-- active(t) = active(t-1) + new + reactivated - churned (+ entered - left), day by day, and opens where it closed.
select *
from (
  select *, lag(closing_customers, 1, 0) over (partition by segment order by day) as closed_before
  from {{ ref('fct_customer_days') }}
) as days
where opening_customers + new_customers + reactivated_customers - churned_customers + entered_customers - left_customers
    <> closing_customers
  or opening_customers <> closed_before
  or closing_customers < 0
