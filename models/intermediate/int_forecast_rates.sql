-- What each cell does in a month, as known at the origin. A hazard is shrunk to the pooled one with the weight of 20
-- customers at risk. It is that of customers of whom nothing is known at the origin: an end counts at a step where
-- fewer months' notice was given.
with origins as (
  select currency, segment, month as origin_month, unnest(range(1, 13))::integer as step
  from {{ ref('int_forecast_totals') }}
  where known_months >= 6
),
classes as (
  select currency, coalesce(segment, 'all') as segment, plan_class, min(month) as first_month
  from {{ ref('int_forecast_changes') }}
  where closing_mrr > 0
  group by grouping sets ((currency, plan_class), (currency, segment, plan_class))
),
cells as (
  select origins.*, classes.plan_class, unnest([0, 3, 6, 12, 24]) as tenure_from
  from origins
  join classes
    on classes.currency = origins.currency
    and classes.segment = origins.segment
    and classes.first_month <= origins.origin_month
),
known as (
  select
    origins.currency,
    origins.segment,
    origins.origin_month,
    origins.step,
    flows.plan_class,
    flows.tenure_from,
    sum(flows.at_risk) filter (not flows.is_due) as at_risk,
    sum(flows.ended) filter (not flows.is_due and flows.notice_months < origins.step) as ended,
    sum(flows.at_risk) filter (flows.is_due) as due,
    sum(flows.ended) filter (flows.is_due and flows.notice_months < origins.step) as due_ended,
    sum(flows.opening_mrr - flows.lost_mrr) filter (flows.month > {{ add_months('origins.origin_month', -12) }})
      as survived_mrr,
    sum(flows.net_expansion_mrr) filter (
      flows.month > {{ add_months('origins.origin_month', -12) }} and flows.notice_months < origins.step
    ) as net_expansion_mrr,
    sum(flows.lost_mrr) filter (flows.month > {{ add_months('origins.origin_month', -12) }}) as lost_mrr,
    sum(flows.reactivated_mrr) filter (flows.month > {{ add_months('origins.origin_month', -12) }})
      as reactivated_mrr
  from origins
  join {{ ref('int_forecast_flows') }} as flows
    on flows.currency = origins.currency
    and flows.segment = origins.segment
    and flows.month <= origins.origin_month
  group by
    origins.currency, origins.segment, origins.origin_month, origins.step, flows.plan_class, flows.tenure_from
),
summed as (
  select
    cells.*,
    {% for part in ['at_risk', 'ended', 'due', 'due_ended', 'survived_mrr', 'net_expansion_mrr', 'lost_mrr', 'reactivated_mrr'] -%}
    coalesce(known.{{ part }}, 0) as {{ part }},
    sum(coalesce(known.{{ part }}, 0)) over all_cells as all_{{ part }},
    {% endfor -%}
    sum(coalesce(known.due, 0)) over of_class as class_due,
    sum(coalesce(known.due_ended, 0)) over of_class as class_due_ended
  from cells
  left join known using (currency, segment, origin_month, step, plan_class, tenure_from)
  window
    all_cells as (partition by cells.currency, cells.segment, cells.origin_month, cells.step),
    of_class as (partition by cells.currency, cells.segment, cells.origin_month, cells.step, cells.plan_class)
),
pooled as (
  select
    *,
    coalesce(all_ended::double / nullif(all_at_risk, 0)::double, 0) as pooled_hazard,
    coalesce(
      all_due_ended::double / nullif(all_due, 0)::double,
      all_ended::double / nullif(all_at_risk, 0)::double,
      0) as pooled_due_hazard,
    coalesce(all_net_expansion_mrr::double / nullif(all_survived_mrr, 0)::double, 0) as pooled_expansion_rate
  from summed
)
select
  currency,
  segment,
  origin_month,
  plan_class,
  tenure_from,
  step,
  at_risk::bigint as at_risk,
  ended::bigint as ended,
  (ended::double + 20 * pooled_hazard) / (at_risk::double + 20) as hazard,
  class_due::bigint as due,
  class_due_ended::bigint as due_ended,
  (class_due_ended::double + 20 * pooled_due_hazard) / (class_due::double + 20) as due_hazard,
  coalesce(net_expansion_mrr::double / nullif(survived_mrr, 0)::double, pooled_expansion_rate) as expansion_rate,
  least(coalesce(all_reactivated_mrr::double / nullif(all_lost_mrr, 0)::double, 0), 1) as reactivation_share
from pooled
