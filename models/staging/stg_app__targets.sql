-- One row per target that was ever set.
with known as (
  {{ latest_known(source('raw_app', 'targets'), ['target_id']) }}
)
select
  target_id,
  metric_id,
  month,
  currency,
  segment,
  amount,
  deleted_at,
  deleted_by,
  recorded_by,
  recorded_at
from known
