-- The parts of the metrics of unit economics, by month, currency and segment.
with economics as (
  select * from {{ ref('fct_unit_economics') }}
),
figures as (
  select
    month, currency, segment, 'ltv_formula' as metric_id,
    margin_mrr * churn_months as numerator,
    closing_customers * churn_sum as denominator,
    closing_customers as customers,
    ltv_formula_why_null as why_null
  from economics
  union all
  select
    month, currency, segment, 'cac' as metric_id,
    sm_cost as numerator,
    new_customers::decimal(38, 16) as denominator,
    new_customers as customers,
    cac_why_null as why_null
  from economics
  union all
  select
    month, currency, segment, 'ltv_to_cac' as metric_id,
    ltv_formula::decimal(38, 16) as numerator,
    cac::decimal(38, 16) as denominator,
    new_customers as customers,
    ltv_to_cac_why_null as why_null
  from economics
  union all
  select
    month, currency, segment, 'cac_payback' as metric_id,
    sm_cost as numerator,
    new_margin_mrr as denominator,
    new_customers as customers,
    cac_payback_why_null as why_null
  from economics
)
select
  month,
  currency,
  segment,
  metric_id,
  case when why_null is null then numerator end::decimal(38, 16) as numerator,
  denominator::decimal(38, 16) as denominator,
  customers::decimal(38, 16) as customers,
  why_null
from figures
