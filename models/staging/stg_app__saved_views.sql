-- One row per saved view that is shared with the team.
with known as (
  {{ latest_known(source('raw_app', 'saved_views'), ['view_id']) }}
)
select
  view_id,
  name,
  page,
  parameters,
  owner_name,
  recorded_by,
  recorded_at
from known
