-- One row per posting.
with known as (
  {{ latest_known(source('raw_billing', 'ledger_entries'), ['entry_id']) }}
)
select
  entry_id,
  account,
  posted_on,
  amount_minor,
  currency,
  invoice_id,
  recorded_at,
  source_system
from known
