-- What segments show adds up to what all customers together show: the parts of every metric of the bridge and of
-- retention, and the customers behind it. The cap of the whole (grr_cap) is one of the whole.
with additive as (
  select unnest([
    'mrr', 'arr', 'list_mrr', 'trial_mrr', 'committed_mrr', 'new_mrr', 'expansion_mrr', 'contraction_mrr', 'churn_mrr',
    'reactivation_mrr', 'fx_impact', 'mrr_growth', 'nrr_1m', 'nrr_12m', 'grr_1m', 'grr_12m', 'gross_mrr_churn',
    'net_mrr_churn', 'logo_churn', 'logo_churn_voluntary', 'logo_churn_involuntary', 'logo_churn_other', 'quick_ratio',
    'arpa', 'asp_new', 'customers', 'new_customers', 'churned_customers', 'reactivated_customers'
  ]) as metric_id
)
select
  month, currency, metric_id,
  sum(case segment when 'all' then numerator else -numerator end) as numerator_rest,
  sum(case segment when 'all' then denominator else -denominator end) as denominator_rest,
  sum(case segment when 'all' then customers else -customers end) as customers_rest
from {{ ref('fct_metric_values') }}
semi join additive using (metric_id)
where not (
    metric_id in ('grr_1m', 'grr_12m', 'gross_mrr_churn') and (select grr_cap from {{ ref('stg_meta__policy') }}) = 'total'
  )
group by month, currency, metric_id
having coalesce(sum(case segment when 'all' then numerator else -numerator end), 0) <> 0
  or coalesce(sum(case segment when 'all' then denominator else -denominator end), 0) <> 0
  or coalesce(sum(case segment when 'all' then customers else -customers end), 0) <> 0
