-- Opening, movements, entered, left and currency effect give the close, in every cell and in both kinds of amounts.
select *
from {{ ref('fct_mrr_months') }}
where opening_mrr + new_mrr + expansion_mrr + contraction_mrr + churn_mrr + reactivation_mrr + entered_mrr + left_mrr
    + fx_impact <> closing_mrr
  or opening_mrr_native + new_mrr_native + expansion_mrr_native + contraction_mrr_native + churn_mrr_native
    + reactivation_mrr_native + entered_mrr_native + left_mrr_native <> closing_mrr_native
  or opening_customers + new_customers + reactivated_customers - churned_customers + entered_customers - left_customers
    <> closing_customers
  or closing_mrr_native < 0
  or closing_customers < 0
