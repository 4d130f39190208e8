-- One row per plan and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'plans'), ['plan_id']) }}
)
select
  plan_id,
  plan_tier,
  coalesce(is_add_on, false) as is_add_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
