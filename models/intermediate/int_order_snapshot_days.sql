-- One row per day at which customers are looked at for their risk: month ends from 120 days after the first order on,
-- and the build's as-of day. A description by date s means the close of the day before: features before s.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
span as (
  select min(ordered_on) as first_ordered_on from {{ ref('int_order_days') }}
),
months as (
  select unnest(generate_series(date_trunc('month', first_ordered_on), build.as_of, interval 1 month))::date as month
  from span
  cross join build
  where first_ordered_on is not null
),
month_ends as (
  select {{ add_months('month', 1) }} - 1 as as_of from months
)
select month_ends.as_of, true as is_month_end
from month_ends
cross join build
cross join span
where month_ends.as_of + 1 >= span.first_ordered_on + 120 and month_ends.as_of <= build.as_of
union
select build.as_of, {{ add_months("date_trunc('month', build.as_of)::date", 1) }} - 1 = build.as_of
from build
cross join span
where span.first_ordered_on is not null
