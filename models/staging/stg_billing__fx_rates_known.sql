-- One row per day, pair of currencies and set and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_billing', 'fx_rates'), ['rate_on', 'from_currency', 'to_currency', 'rate_set']) }}
)
select
  rate_on,
  from_currency,
  to_currency,
  rate,
  rate_set,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
