-- What was owed at the close of any day, made on reading: ask for the days wanted.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
days as (
  select unnest(generate_series(
    (select min(valid_from) from {{ ref('int_ar_stretches') }}), build.as_of, interval 1 day
  ))::date as day
  from build
)
select
  days.day,
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
group by days.day, stretches.currency, stretches.segment, stretches.bucket
