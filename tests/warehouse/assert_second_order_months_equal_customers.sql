-- The months hold every customer that ordered, and those who came back within 90 days; of a month that can be judged,
-- each has been watched for 90 days or has come back.
with customers as (
  select
    cohort_month,
    count(distinct customer_id) as customers,
    sum(case when second_order_on <= first_order_on + 90 then 1 else 0 end) as returned_customers,
    bool_and(first_order_on + 90 <= build.as_of) as are_watched
  from {{ ref('fct_second_orders') }}
  cross join {{ ref('stg_meta__build') }} as build
  group by cohort_month
)
select cohort_month
from customers
full join {{ ref('fct_second_order_months') }} as months using (cohort_month)
where customers.customers is distinct from months.customers
  or customers.returned_customers is distinct from months.returned_customers
  or months.is_watched and not customers.are_watched
