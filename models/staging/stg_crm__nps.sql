-- One row per answer to the NPS question.
with known as (
  {{ latest_known(source('raw_crm', 'nps'), ['response_id']) }}
)
select
  response_id,
  customer_id,
  answered_on,
  score,
  recorded_at,
  source_system
from known
