-- The targets in force: who set another one, or took one away, ended the one before.
select
  metric_id,
  month,
  currency,
  segment,
  amount,
  recorded_by,
  recorded_at
from {{ ref('stg_app__targets') }}
where deleted_at is null
qualify row_number() over (
  partition by metric_id, month, currency, segment order by recorded_at desc, target_id desc
) = 1
