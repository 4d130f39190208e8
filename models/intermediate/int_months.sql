-- One row per month from the first subscription day to the as-of month, with the day its snapshot is taken.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
span as (
  select
    min({{ snapshot_month('valid_from') }}) as first_month,
    min(build.as_of_month) as last_month
  from {{ ref('int_item_versions') }}
  cross join build
),
months as (
  select unnest(generate_series(first_month, last_month, interval 1 month))::date as month from span
),
with_days as (
  select month, {{ snapshot_day('month') }} as snapshot_on from months
)
select
  with_days.month,
  with_days.snapshot_on,
  with_days.snapshot_on > build.as_of as is_provisional
from with_days
cross join build
