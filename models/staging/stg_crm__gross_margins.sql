-- One row per month and segment; 'all' holds for the segments that have no row of their own in the month.
with named as (
  select * exclude (segment), coalesce(segment, 'all') as segment
  from {{ source('raw_crm', 'gross_margins') }}
),
known as (
  {{ latest_known('named', ['month', 'segment']) }}
)
select
  month,
  segment,
  margin_bp,
  recorded_at,
  source_system
from known
