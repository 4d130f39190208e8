-- One row per amount of an invoice that was given up; below 0 where that was taken back.
with known as (
  {{ latest_known(source('raw_billing', 'write_offs'), ['write_off_id']) }}
)
select
  write_off_id,
  invoice_id,
  amount_minor,
  written_off_on,
  recorded_at,
  source_system
from known
