-- The saved views of the team. What somebody saved for themselves never comes into the warehouse.
select
  view_id,
  name,
  page,
  parameters,
  owner_name,
  recorded_by,
  recorded_at
from {{ ref('stg_app__saved_views') }}
