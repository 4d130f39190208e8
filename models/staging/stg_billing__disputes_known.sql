-- One row per payment dispute and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'disputes'), ['dispute_id']) }}
)
select
  dispute_id,
  payment_id,
  opened_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
