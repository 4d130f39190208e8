-- One row per customer and version of its attributes and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'customers'), ['customer_id', 'valid_from']) }}
)
select
  customer_id,
  country,
  {{ segment_name('segment') }} as segment,
  acquisition_channel,
  coalesce(is_test, false) as is_test,
  valid_from,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
