-- One row per cohort month, currency, segment ('all' too) and age: what its customers bring
-- of what they began with, and the middle 95 % of its 1,000 draws. Cohorts of fewer customers than the policy asks for are not drawn.
with policy as (
  select min_customers from {{ ref('stg_meta__policy') }}
),
spells as (
  select customer_id, currency, segment, month as from_month, until_month, closing_mrr as mrr
  from {{ ref('fct_customer_month_changes') }}
  where closing_mrr > 0
),
cohorts as (
  select
    spells.customer_id,
    spells.currency,
    units.unit_no,
    min(spells.from_month) as cohort_month,
    arg_min(spells.mrr, spells.from_month) as start_mrr,
    unnest(['all', arg_min(spells.segment, spells.from_month)]) as segment
  from spells
  join {{ ref('int_bootstrap_units') }} as units using (customer_id)
  group by spells.customer_id, spells.currency, units.unit_no
),
groups as (
  select currency, segment, cohort_month
  from cohorts
  cross join policy
  group by currency, segment, cohort_month, policy.min_customers
  having count(*) >= policy.min_customers
),
members as (
  select cohorts.*
  from cohorts
  semi join groups using (currency, segment, cohort_month)
),
unit_starts as (
  select currency, segment, cohort_month, unit_no, sum(start_mrr) as start_mrr
  from members
  group by currency, segment, cohort_month, unit_no
),
edges as (
  select
    members.currency,
    members.segment,
    members.cohort_month,
    members.unit_no,
    unnest([spells.from_month, spells.until_month]) as month,
    unnest([spells.mrr, -spells.mrr]) as net_mrr,
    unnest([least(spells.mrr, members.start_mrr), -least(spells.mrr, members.start_mrr)]) as gross_mrr
  from members
  join spells using (customer_id, currency)
),
changes as (
  select currency, segment, cohort_month, unit_no, month, sum(net_mrr) as net_mrr, sum(gross_mrr) as gross_mrr
  from edges
  group by currency, segment, cohort_month, unit_no, month
),
-- what each unit brings at each age
amounts as (
  select
    unit_starts.currency,
    unit_starts.segment,
    unit_starts.cohort_month,
    unit_starts.unit_no,
    unit_starts.start_mrr,
    months.month,
    coalesce(sum(changes.net_mrr) over by_month, 0) as net_mrr,
    coalesce(sum(changes.gross_mrr) over by_month, 0) as gross_mrr
  from unit_starts
  join {{ ref('int_months') }} as months on months.month >= unit_starts.cohort_month
  left join changes
    on changes.month = months.month
    and changes.currency = unit_starts.currency
    and changes.segment = unit_starts.segment
    and changes.cohort_month = unit_starts.cohort_month
    and changes.unit_no = unit_starts.unit_no
  window by_month as (
    partition by unit_starts.currency, unit_starts.segment, unit_starts.cohort_month, unit_starts.unit_no
    order by months.month
  )
),
vectors as (
  select
    currency, segment, cohort_month, month,
    list(net_mrr::double order by unit_no) as net_mrr,
    list(gross_mrr::double order by unit_no) as gross_mrr
  from amounts
  group by currency, segment, cohort_month, month
),
groups_drawn as (
  select
    starts.currency, starts.segment, starts.cohort_month, starts.start_mrr, draws.draw_no,
    list_select(draws.weights, starts.unit_nos) as weights
  from (
    select
      currency, segment, cohort_month,
      list(unit_no order by unit_no) as unit_nos,
      list(start_mrr::double order by unit_no) as start_mrr
    from unit_starts
    group by currency, segment, cohort_month
  ) as starts
  cross join {{ ref('int_bootstrap_weights') }} as draws
),
weights as (
  select
    currency, segment, cohort_month, draw_no, weights,
    nullif(list_inner_product(start_mrr, weights), 0) as start_mrr
  from groups_drawn
),
drawn as (
  select
    vectors.cohort_month, vectors.currency, vectors.segment, vectors.month, weights.draw_no,
    list_inner_product(vectors.net_mrr, weights.weights) / weights.start_mrr as net,
    list_inner_product(vectors.gross_mrr, weights.weights) / weights.start_mrr as gross
  from vectors
  join weights using (currency, segment, cohort_month)
)
select
  cohort_month,
  currency,
  segment,
  {{ months_between('cohort_month', 'month') }}::integer as age_months,
  max(net) filter (where draw_no = 0) as net_value,
  max(gross) filter (where draw_no = 0) as gross_value,
  {{ middle_of_draws('net', 'draw_no') }} as net,
  {{ middle_of_draws('gross', 'draw_no') }} as gross
from drawn
group by cohort_month, currency, segment, month
