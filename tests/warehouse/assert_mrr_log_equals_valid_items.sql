-- On every snapshot day the running sum of the log is the sum of the item versions valid that day, cell by cell.
with days as (
  select least(months.snapshot_on, build.as_of) as day
  from {{ ref('int_months') }} as months
  cross join {{ ref('stg_meta__build') }} as build
),
from_items as (
  select
    days.day, items.currency, items.segment, items.plan_id, items.acquisition_channel,
    sum(items.mrr) as mrr, sum(items.trial_mrr) as trial_mrr
  from days
  join {{ ref('int_item_versions') }} as items
    on items.valid_from <= days.day
    and coalesce(items.valid_to, date '9999-12-31') > days.day
  group by days.day, items.currency, items.segment, items.plan_id, items.acquisition_channel
),
from_log as (
  select
    days.day, movements.currency, movements.segment, movements.plan_id, movements.acquisition_channel,
    sum(case when movements.measure = 'mrr' then movements.delta_native else 0 end) as mrr,
    sum(case when movements.measure = 'trial' then movements.delta_native else 0 end) as trial_mrr
  from days
  join (
    select movement_on, currency, segment, plan_id, acquisition_channel, measure, sum(delta_native) as delta_native
    from {{ ref('fct_mrr_movements') }}
    group by movement_on, currency, segment, plan_id, acquisition_channel, measure
  ) as movements on movements.movement_on <= days.day
  group by days.day, movements.currency, movements.segment, movements.plan_id, movements.acquisition_channel
)
select *
from from_items
full join from_log using (day, currency, segment, plan_id, acquisition_channel)
where coalesce(from_items.mrr, 0) <> coalesce(from_log.mrr, 0)
  or coalesce(from_items.trial_mrr, 0) <> coalesce(from_log.trial_mrr, 0)
