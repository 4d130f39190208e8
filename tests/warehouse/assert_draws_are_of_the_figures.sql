-- Every customer drawn once gives the published figure, and every published rate of money has its draws.
with figures as (
  select month, currency, segment, metric_id, value
  from {{ ref('fct_metric_intervals') }}
  where method = 'bootstrap'
),
cohorts as (
  select
    cohort_month, currency, segment, age_months,
    max(value) filter (where metric_id = 'cohort_net') as net_value,
    max(value) filter (where metric_id = 'cohort_gross') as gross_value
  from {{ ref('fct_cohort_intervals') }}
  where not is_too_small
  group by cohort_month, currency, segment, age_months
)
select month, currency, segment, metric_id, figures.value, draws.value as drawn_value
from figures
left join {{ ref('int_rate_bootstrap') }} as draws using (month, currency, segment, metric_id)
where draws.value is null or abs(draws.value - figures.value) > 1e-9 * greatest(1, abs(figures.value))
union all
select cohort_month as month, currency, segment, 'cohort_net' as metric_id, cohorts.net_value, draws.net_value
from cohorts
left join {{ ref('int_cohort_bootstrap') }} as draws using (cohort_month, currency, segment, age_months)
where draws.net_value is null
  or abs(draws.net_value - cohorts.net_value) > 1e-9 * greatest(1, cohorts.net_value)
  or abs(draws.gross_value - cohorts.gross_value) > 1e-9
