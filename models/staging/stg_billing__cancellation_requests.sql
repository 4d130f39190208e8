-- One row per subscription item and day on which its cancellation was requested, also of requests that later rows of the
-- same version no longer name. It stands while a version's last row names it; it was withdrawn when the next row names none.
with known as (
  select * from {{ source('raw_billing', 'subscription_versions') }}
  where recorded_at <= (select known_to from {{ ref('stg_meta__build') }})
),
recorded as (
  select
    known.*,
    lead(recorded_at) over by_version is null as is_last,
    lead(cancel_requested_on) over by_version as next_requested_on
  from known
  semi join (
    select subscription_item_id from known where cancel_requested_on is not null
  ) as requested using (subscription_item_id)
  window by_version as (partition by subscription_item_id, version_no order by recorded_at, load_id)
)
select
  subscription_item_id,
  cancel_requested_on,
  arg_max(subscription_id, recorded_at) as subscription_id,
  arg_max(customer_id, recorded_at) as customer_id,
  arg_max(plan_id, recorded_at) as plan_id,
  arg_max(currency, recorded_at) as currency,
  arg_max(cancel_reason, recorded_at) as cancel_reason,
  arg_max_null(valid_to, (recorded_at, valid_from)) as planned_end_on,
  bool_or(is_last) as is_standing,
  bool_or(not is_last and next_requested_on is null) as is_withdrawn,
  min(recorded_at) as recorded_at,
  any_value(source_system) as source_system
from recorded
where cancel_requested_on is not null and not coalesce(is_deleted, false)
group by subscription_item_id, cancel_requested_on
