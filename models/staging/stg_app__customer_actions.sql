-- One row per event of the work on a customer.
with known as (
  {{ latest_known(source('raw_app', 'customer_actions'), ['event_id']) }}
)
select
  event_id,
  customer_id,
  action,
  owner,
  until_on,
  channel,
  outcome,
  note,
  contacted_at,
  next_on,
  as_of,
  model_id,
  play,
  undoes,
  recorded_by,
  recorded_at
from known
