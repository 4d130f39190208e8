-- One row per plan.
with known as (
  {{ latest_known(source('raw_billing', 'plans'), ['plan_id']) }}
)
select
  plan_id,
  plan_name,
  plan_tier,
  is_add_on,
  recorded_at,
  source_system
from known
