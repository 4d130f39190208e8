-- One row per account and version of its attributes and stretch of days on which it was known as it stands here.
with dated as (
  -- an export that overwrites states no first day: a version then holds from the day it was received, or from before
  -- its end; that of an imported history, from the beginning
  select
    * exclude (valid_from),
    valid_from is not null as has_first_day,
    coalesce(
      valid_from,
      least(
        (recorded_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date,
        valid_to - 1
      )
    ) as valid_from
  from {{ source('raw_crm', 'accounts') }}
),
known as (
  {{ known_rows('dated', ['account_id', 'valid_from']) }}
)
select
  account_id,
  customer_id,
  {{ segment_name('segment') }} as segment,
  acquisition_channel,
  case when is_history and not has_first_day then date '0001-01-01' else valid_from end as valid_from,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
