-- Every dated change of a receivable; the running sum is what is owed at the close of any day.
select
  event_kind,
  source_id,
  event_on,
  customer_id,
  invoice_id,
  currency,
  amount_minor
from {{ ref('int_invoice_changes') }}
where amount_minor <> 0 and not is_test
