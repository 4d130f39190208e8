-- The parts of the metrics of unit economics, by month, currency and segment. Here stands logo churn too, which they are
-- made with.
with metrics as (
  select
    month,
    currency,
    segment,
    {{ metric_value('logo_churn', 'logo_lost', 'logo_base', 'logo_base', 'no_opening_customers') }} as metric
  from {{ ref('int_unit_economics_parts') }}
  union all
  select
    month,
    currency,
    segment,
    unnest([
      {% for metric, numerator, denominator, customers in [
        ('ltv_formula', 'margin_mrr * churn_months', 'closing_customers * churn_sum', 'closing_customers'),
        ('cac', 'sm_cost', 'new_customers', 'new_customers'),
        ('ltv_to_cac', 'ltv_formula', 'cac', 'new_customers'),
        ('cac_payback', 'sm_cost', 'new_margin_mrr', 'new_customers'),
      ] -%}
      {{ metric_value(metric, 'case when ' ~ metric ~ '_why_null is null then ' ~ numerator ~ ' end', denominator, customers,
        reason=metric ~ '_why_null') }}{{ ',' if not loop.last }}
      {% endfor -%}
    ]) as metric
  from {{ ref('fct_unit_economics') }}
)
select
  month,
  currency,
  segment,
  metric.metric_id::varchar as metric_id,
  metric.numerator as numerator,
  metric.denominator as denominator,
  metric.customers::decimal(38, 16) as customers,
  case when metric.numerator is null or metric.denominator = 0 then metric.why_null end as why_null
from metrics
