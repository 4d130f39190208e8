-- One row per customer and version of its attributes.
with known as (
  {{ latest_known(source('raw_billing', 'customers'), ['customer_id', 'valid_from']) }}
)
select
  customer_id,
  name,
  country,
  currency,
  {{ segment_name('segment') }} as segment,
  acquisition_channel,
  is_test,
  created_on,
  valid_from,
  valid_to,
  recorded_at,
  source_system
from known
