-- One row per subscription item and day on which its cancellation was requested, of requests that were taken back: the
-- day the row that names none was recorded.
with known as (
  select * from {{ source('raw_billing', 'subscription_versions') }}
  where recorded_at <= (select known_to from {{ ref('stg_meta__build') }})
),
recorded as (
  select
    subscription_item_id,
    cancel_requested_on,
    source_system,
    lead(recorded_at) over by_version as next_recorded_at,
    lead(cancel_requested_on) over by_version as next_requested_on
  from known
  window by_version as (partition by subscription_item_id, version_no order by recorded_at, load_id)
)
select
  subscription_item_id,
  cancel_requested_on,
  (max(next_recorded_at) at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as withdrawn_on,
  any_value(source_system) as source_system
from recorded
where cancel_requested_on is not null and next_recorded_at is not null and next_requested_on is null
group by subscription_item_id, cancel_requested_on
