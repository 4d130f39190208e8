-- The parts of unit economics are those of the metrics of the same name, month by month.
with metrics as (
  select
    month, currency, segment,
    max(numerator) filter (where metric_id = 'arpa') as closing_mrr,
    max(denominator) filter (where metric_id = 'arpa') as closing_customers,
    max(numerator) filter (where metric_id = 'logo_churn') as logo_lost,
    max(denominator) filter (where metric_id = 'logo_churn') as logo_base
  from {{ ref('fct_metric_values') }}
  where metric_id in ('arpa', 'logo_churn')
  group by month, currency, segment
)
select parts.month, parts.currency, parts.segment
from {{ ref('int_unit_economics_parts') }} as parts
left join metrics using (month, currency, segment)
where parts.closing_mrr is distinct from metrics.closing_mrr
  or parts.closing_customers is distinct from metrics.closing_customers
  or parts.logo_lost is distinct from metrics.logo_lost
  or parts.logo_base is distinct from metrics.logo_base
