-- The buckets of each snapshot sum to the receivables of that day, and those of the as-of day to what remains of all
-- invoices.
with snapshots as (
  select distinct snapshot_on from {{ ref('fct_ar_aging') }}
),
build as (
  select as_of from {{ ref('stg_meta__build') }}
),
amounts as (
  select snapshot_on, currency, remaining_minor as aged_minor, 0 as owed_minor, 0 as open_minor
  from {{ ref('fct_ar_aging') }}
  where bucket <> 'unapplied'
  union all
  select snapshots.snapshot_on, events.currency, 0 as aged_minor, events.amount_minor as owed_minor, 0 as open_minor
  from {{ ref('fct_ar_events') }} as events
  join snapshots on events.event_on <= snapshots.snapshot_on
  union all
  select build.as_of as snapshot_on, invoices.currency, 0 as aged_minor, 0 as owed_minor,
    invoices.remaining_minor as open_minor
  from {{ ref('fct_invoices') }} as invoices
  cross join build
)
select snapshot_on, currency, sum(aged_minor) as aged_minor, sum(owed_minor) as owed_minor, sum(open_minor) as open_minor
from amounts
cross join build
group by snapshot_on, currency, build.as_of
having sum(aged_minor) <> sum(owed_minor)
  or snapshot_on = build.as_of and sum(aged_minor) <> sum(open_minor)
