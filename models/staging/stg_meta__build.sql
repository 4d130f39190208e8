-- One row: this build, its as-of day and what it may know.
select
  build_id,
  company,
  as_of,
  date_trunc('month', as_of)::date as as_of_month,
  known_to,
  built_at,
  is_sample
from {{ source('raw_meta', 'build') }}
