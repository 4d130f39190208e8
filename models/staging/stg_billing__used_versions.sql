-- One row per version of a subscription item that has use, withdrawn ones left out.
with ever_used as (
  select * from {{ source('raw_billing', 'subscription_versions') }}
  where subscription_item_id in (select subscription_item_id from {{ source('raw_billing', 'usage_days') }})
),
known as (
  {{ latest_known('ever_used', ['subscription_item_id', 'version_no']) }}
)
select subscription_item_id, version_no, customer_id, currency, valid_from, recorded_at, source_system
from known
where not coalesce(is_deleted, false)
