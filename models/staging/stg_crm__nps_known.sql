-- One row per answer to the NPS question and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_crm', 'nps'), ['response_id']) }}
)
select
  response_id,
  customer_id,
  answered_on,
  score,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
