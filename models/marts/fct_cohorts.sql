-- Spells by age instead of month, summed like those of retention.
with spells as (
  select
    changes.customer_id,
    changes.currency,
    changes.month as from_month,
    changes.until_month,
    changes.closing_mrr as mrr,
    changes.segment,
    changes.plan_id,
    changes.acquisition_channel
  from {{ ref('fct_customer_month_changes') }} as changes
  where changes.closing_mrr > 0
),
cohorts as (
  select
    customer_id,
    currency,
    min(from_month) as cohort_month,
    arg_min(mrr, from_month) as start_mrr,
    arg_min(segment, from_month) as segment,
    arg_min(plan_id, from_month) as plan_id,
    arg_min(acquisition_channel, from_month) as acquisition_channel
  from spells
  group by customer_id, currency
),
edges as (
  select
    cohorts.cohort_month,
    cohorts.currency,
    cohorts.segment,
    cohorts.plan_id,
    cohorts.acquisition_channel,
    unnest([
      {{ months_between('cohorts.cohort_month', 'spells.from_month') }},
      {{ months_between('cohorts.cohort_month', 'spells.until_month') }}
    ]) as age_months,
    unnest([1, -1]) as sign,
    spells.mrr,
    least(spells.mrr, cohorts.start_mrr) as kept_mrr
  from spells
  join cohorts using (customer_id, currency)
),
changes as (
  select
    cohort_month, currency, segment, plan_id, acquisition_channel, age_months,
    sum(sign) as customers,
    sum(sign * mrr) as net_mrr,
    sum(sign * kept_mrr) as gross_mrr
  from edges
  group by cohort_month, currency, segment, plan_id, acquisition_channel, age_months
),
cells as (
  select
    cohort_month, currency, segment, plan_id, acquisition_channel,
    count(*) as start_customers,
    sum(start_mrr) as start_mrr
  from cohorts
  group by cohort_month, currency, segment, plan_id, acquisition_channel
),
ages as (
  select
    cells.*,
    months.is_provisional,
    {{ months_between('cells.cohort_month', 'months.month') }} as age_months
  from cells
  join {{ ref('int_months') }} as months on months.month >= cells.cohort_month
)
select
  ages.cohort_month,
  date_trunc('quarter', ages.cohort_month)::date as cohort_quarter,
  ages.age_months::integer as age_months,
  ages.currency,
  ages.segment,
  ages.plan_id,
  ages.acquisition_channel,
  ages.start_customers,
  (sum(coalesce(changes.customers, 0)) over by_age)::bigint as customers,
  ages.start_mrr::decimal(38, 16) as start_mrr,
  (sum(coalesce(changes.net_mrr, 0)) over by_age)::decimal(38, 16) as net_mrr,
  (sum(coalesce(changes.gross_mrr, 0)) over by_age)::decimal(38, 16) as gross_mrr,
  ages.is_provisional
from ages
left join changes
  on changes.cohort_month = ages.cohort_month
  and changes.currency = ages.currency
  and changes.segment = ages.segment
  and changes.plan_id = ages.plan_id
  and changes.acquisition_channel = ages.acquisition_channel
  and changes.age_months = ages.age_months
window by_age as (
  partition by ages.cohort_month, ages.currency, ages.segment, ages.plan_id, ages.acquisition_channel
  order by ages.age_months
)
