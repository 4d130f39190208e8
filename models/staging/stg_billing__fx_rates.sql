-- One row per day, pair of currencies and set.
with known as (
  {{ latest_known(source('raw_billing', 'fx_rates'), ['rate_on', 'from_currency', 'to_currency', 'rate_set']) }}
)
select
  rate_on,
  from_currency,
  to_currency,
  rate,
  rate_set,
  recorded_at,
  source_system
from known
