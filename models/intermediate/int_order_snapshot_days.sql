-- One row per day at which customers are looked at for their risk: month ends from 120 days after the first order on
-- (other days where the build asks for them), and the build's as-of day. A date s means the close of the day before:
-- features before s, label from s on. Origins are the days on which a model may be judged.
with first_order as (
  select min(ordered_on) as first_ordered_on from {{ ref('int_order_days') }}
),
span as (
  select
    date_trunc('month', first_order.first_ordered_on) as first_month,
    coalesce(settings.first_snapshot_on, first_order.first_ordered_on + 120) as first_on,
    build.as_of + 1 as last_on,
    settings.step_days,
    settings.also_on
  from first_order
  cross join {{ ref('stg_meta__order_snapshots') }} as settings
  cross join {{ ref('stg_meta__build') }} as build
  where first_order.first_ordered_on is not null
),
month_starts as (
  select unnest(generate_series(first_month, last_on, interval 1 month))::date as snapshot_on
  from span
  where step_days is null
),
steps as (
  select unnest(generate_series(first_on, last_on, to_days(step_days)))::date as snapshot_on
  from span
  where step_days is not null
),
also as (
  select unnest(also_on) as snapshot_on from span
),
origins as (
  select snapshot_on from month_starts
  union
  select snapshot_on from steps
  union
  select snapshot_on from also
),
days as (
  select origins.snapshot_on, true as is_origin
  from origins
  cross join span
  where origins.snapshot_on between span.first_on and span.last_on
  union all
  select last_on, false from span
)
select
  snapshot_on - 1 as as_of,
  day(snapshot_on) = 1 as is_month_end,
  bool_or(is_origin) as is_origin
from days
group by snapshot_on
