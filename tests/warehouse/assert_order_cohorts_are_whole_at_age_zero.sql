-- At age 0 every customer of a cohort is active; no age has more; cohorts hold every customer that ordered.
select cohort_month, currency
from {{ ref('fct_order_cohorts') }}
where
  active_customers > cohort_customers
  or (age_months = 0 and active_customers <> cohort_customers)
union all
select null, currency
from (
  select currency, sum(cohort_customers) filter (age_months = 0) as customers
  from {{ ref('fct_order_cohorts') }}
  group by currency
) as cohorts
full join (
  select currency, count(distinct customer_id) as customers
  from {{ ref('fct_orders') }}
  where not is_credit
  group by currency
) as orders using (currency)
where cohorts.customers is distinct from orders.customers
