-- What was owed at the close of any day, made on reading: ask for the days wanted.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
calendar as (
  select
    unnest(generate_series((select min(valid_from) from {{ ref('int_ar_stretches') }}), as_of, interval 1 day))::date as day,
    as_of
  from build
),
days as (
  select day, day = last_day(day) or day = as_of as is_snapshot from calendar
)
select
  days.day,
  days.is_snapshot,
  stretches.currency,
  stretches.segment,
  stretches.bucket,
  count(*) as invoices,
  count(distinct stretches.customer_id) as customers,
  sum(stretches.remaining_minor)::bigint as remaining_minor
from days
join {{ ref('int_ar_stretches') }} as stretches
  on stretches.valid_from <= days.day
  and stretches.valid_to > days.day
group by days.day, days.is_snapshot, stretches.currency, stretches.segment, stretches.bucket
