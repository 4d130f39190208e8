-- Every paying customer is in one cohort: over all cohorts the customers and MRR of a month are those of its close.
with cohorts as (
  select
    (cohort_month + to_months(age_months))::date as month, currency,
    sum(customers) as customers, sum(net_mrr) as net_mrr
  from {{ ref('fct_cohorts') }}
  group by cohort_month + to_months(age_months), currency
),
months as (
  select month, amount_currency as currency, sum(closing_customers) as customers, sum(closing_mrr_constant) as net_mrr
  from {{ ref('fct_mrr_months') }}
  group by month, amount_currency
)
select *
from months
full join cohorts using (month, currency)
where coalesce(months.customers, 0) <> coalesce(cohorts.customers, 0)
  or coalesce(months.net_mrr, 0) <> coalesce(cohorts.net_mrr, 0)
