-- At age 0 everyone is there and nothing is lost; later never more customers or gross MRR than then.
select *
from {{ ref('fct_cohorts') }}
where age_months = 0 and (customers <> start_customers or net_mrr <> start_mrr or gross_mrr <> start_mrr)
  or customers > start_customers
  or customers < 0
  or gross_mrr > start_mrr
  or gross_mrr > net_mrr
  or gross_mrr < 0
