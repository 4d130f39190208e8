-- One row per month: the five movements, and what there is at its close.
select
  month,
  coalesce(sum(mrr_change) filter (where category = 'new'), 0)::bigint as new_mrr,
  coalesce(sum(mrr_change) filter (where category = 'expansion'), 0)::bigint as expansion_mrr,
  coalesce(sum(mrr_change) filter (where category = 'contraction'), 0)::bigint as contraction_mrr,
  coalesce(sum(mrr_change) filter (where category = 'churn'), 0)::bigint as churn_mrr,
  coalesce(sum(mrr_change) filter (where category = 'reactivation'), 0)::bigint as reactivation_mrr,
  sum(mrr)::bigint as closing_mrr,
  count(*) filter (where mrr > 0) as closing_customers
from {{ ref('customer_month_movements') }}
group by month
