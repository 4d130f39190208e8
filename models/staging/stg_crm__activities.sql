-- One row per activity with an account, its day in the reporting timezone.
with known as (
  {{ latest_known(source('raw_crm', 'activities'), ['activity_id']) }}
)
select
  activity_id,
  account_id,
  kind,
  happened_at,
  (happened_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as happened_on,
  recorded_at,
  source_system
from known
