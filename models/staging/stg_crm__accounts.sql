-- One row per account and version of its attributes. An export that overwrites states no first day: a version then holds
-- from the day it was received, and each until the account's next one.
with dated as (
  select
    * exclude (valid_from),
    coalesce(
      valid_from,
      -- an end before that day says that the version is older
      least(
        (recorded_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date,
        valid_to - 1
      )
    ) as valid_from
  from {{ source('raw_crm', 'accounts') }}
),
known as (
  {{ latest_known('dated', ['account_id', 'valid_from']) }}
)
select
  account_id,
  customer_id,
  name,
  owner,
  csm,
  stage,
  {{ segment_name('segment') }} as segment,
  acquisition_channel,
  valid_from,
  least(valid_to, lead(valid_from) over (partition by account_id order by valid_from)) as valid_to,
  recorded_at,
  source_system
from known
