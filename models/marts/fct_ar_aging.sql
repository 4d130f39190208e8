-- What was owed at the close of each month and of the as-of day, by days past due, and what was received and pays
-- nothing yet.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
months as (
  select unnest(generate_series(
    date_trunc('month', (select min(valid_from) from {{ ref('int_ar_stretches') }})),
    build.as_of,
    interval 1 month
  ))::date as month
  from build
),
snapshots as (
  select least(({{ add_months('months.month', 1) }} - 1)::date, build.as_of) as snapshot_on
  from months
  cross join build
)
select
  snapshots.snapshot_on,
  stretches.currency,
  stretches.segment,
  stretches.bucket,
  count(*) as invoices,
  count(distinct stretches.customer_id) as customers,
  sum(stretches.remaining_minor)::bigint as remaining_minor
from snapshots
join {{ ref('int_ar_stretches') }} as stretches
  on stretches.valid_from <= snapshots.snapshot_on
  and stretches.valid_to > snapshots.snapshot_on
group by snapshots.snapshot_on, stretches.currency, stretches.segment, stretches.bucket
