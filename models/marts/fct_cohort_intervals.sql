-- The rates of cohorts over all plans and channels, with their intervals.
with policy as (
  select min_customers from {{ ref('stg_meta__policy') }}
),
cohorts as (
  select
    cohort_month,
    age_months,
    currency,
    coalesce(segment, 'all') as segment,
    sum(start_customers)::decimal(38, 16) as start_customers,
    sum(customers)::decimal(38, 16) as customers,
    sum(start_mrr)::decimal(38, 16) as start_mrr,
    sum(net_mrr)::decimal(38, 16) as net_mrr,
    sum(gross_mrr)::decimal(38, 16) as gross_mrr,
    bool_or(is_provisional) as is_provisional
  from {{ ref('fct_cohorts') }}
  group by grouping sets ((cohort_month, age_months, currency), (cohort_month, age_months, currency, segment))
),
with_bounds as (
  select
    cohorts.*,
    cohorts.start_customers < policy.min_customers as is_too_small,
    {{ wilson('cohorts.customers', 'cohorts.start_customers') }} as logo,
    draws.net,
    draws.gross
  from cohorts
  cross join policy
  left join {{ ref('int_cohort_bootstrap') }} as draws
    on draws.cohort_month = cohorts.cohort_month
    and draws.currency = cohorts.currency
    and draws.segment = cohorts.segment
    and draws.age_months = cohorts.age_months
),
metrics as (
  select
    cohort_month,
    age_months,
    currency,
    segment,
    start_customers::bigint as customers,
    is_too_small,
    is_provisional,
    unnest([
      {
        'metric_id': 'cohort_logo', 'numerator': customers, 'denominator': start_customers,
        'low': logo.low, 'high': logo.high, 'method': 'wilson'
      },
      {
        'metric_id': 'cohort_net', 'numerator': net_mrr, 'denominator': start_mrr,
        'low': net[1], 'high': net[2], 'method': 'bootstrap'
      },
      {
        'metric_id': 'cohort_gross', 'numerator': gross_mrr, 'denominator': start_mrr,
        'low': gross[1], 'high': gross[2], 'method': 'bootstrap'
      }
    ]) as metric
  from with_bounds
)
select
  cohort_month,
  age_months,
  currency,
  segment,
  metric.metric_id as metric_id,
  metric.numerator as numerator,
  metric.denominator as denominator,
  metric.numerator / metric.denominator as value,
  customers,
  metric.low as low,
  metric.high as high,
  metric.method as method,
  is_too_small,
  is_provisional
from metrics
