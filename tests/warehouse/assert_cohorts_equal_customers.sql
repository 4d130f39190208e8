-- In the as-of month and in four months of chance (others in every build) a cohort's gross MRR is what each of its customers
-- pays then, counted at most with what it paid at age 0.
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
  select customer_id, currency, min(month) as cohort_month, arg_min(closing_mrr, month) as start_mrr
  from {{ ref('fct_customer_month_changes') }}
  where closing_mrr > 0
  group by customer_id, currency
),
from_customers as (
  select
    chosen.month, customers.currency, customers.cohort_month,
    sum(least(changes.closing_mrr, customers.start_mrr)) as gross_mrr,
    count(*) as customers
  from chosen
  join {{ ref('fct_customer_month_changes') }} as changes
    on changes.month <= chosen.month
    and changes.until_month > chosen.month
    and changes.closing_mrr > 0
  join customers using (customer_id, currency)
  group by chosen.month, customers.currency, customers.cohort_month
),
from_cohorts as (
  select
    (cohort_month + to_months(age_months))::date as month, currency, cohort_month,
    sum(gross_mrr) as gross_mrr, sum(customers) as customers
  from {{ ref('fct_cohorts') }}
  where (cohort_month + to_months(age_months))::date in (select month from chosen)
  group by cohort_month, age_months, currency
)
select *
from from_customers
full join from_cohorts using (month, currency, cohort_month)
where coalesce(from_customers.gross_mrr, 0) <> coalesce(from_cohorts.gross_mrr, 0)
  or coalesce(from_customers.customers, 0) <> coalesce(from_cohorts.customers, 0)
