-- One row per version of a subscription item that is past due, withdrawn ones left out.
with ever_past_due as (
  select * from {{ source('raw_billing', 'subscription_versions') }}
  where subscription_item_id in (
    select subscription_item_id from {{ source('raw_billing', 'subscription_versions') }} where status = 'past_due'
  )
),
known as (
  {{ latest_known('ever_past_due', ['subscription_item_id', 'version_no']) }}
)
select subscription_item_id, version_no, valid_from, valid_to, recorded_at, source_system
from known
where status = 'past_due' and not coalesce(is_deleted, false)
