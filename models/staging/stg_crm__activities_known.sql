-- One row per activity with an account and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_crm', 'activities'), ['activity_id']) }}
)
select
  activity_id,
  account_id,
  kind,
  (happened_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as happened_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
