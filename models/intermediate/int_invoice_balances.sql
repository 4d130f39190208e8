-- One row per invoice and stretch of days of constant balance, from its issue on, as far as the as-of day.
-- remaining = total - applied - written off (never below what applications say); unpaid = total - applied - recovered.
with change_days as (
  select
    invoice_id,
    event_on,
    min(customer_id) as customer_id,
    min(currency) as currency,
    min(due_on) as due_on,
    bool_or(is_test) as is_test,
    sum(amount_minor) as remaining_change,
    sum(unpaid_minor) as unpaid_change
  from {{ ref('int_invoice_changes') }}
  group by invoice_id, event_on
)
select
  invoice_id,
  customer_id,
  currency,
  due_on,
  event_on as valid_from,
  lead(event_on) over by_day as valid_to,
  (sum(remaining_change) over by_day)::bigint as remaining_minor,
  (sum(unpaid_change) over by_day)::bigint as unpaid_minor,
  is_test
from change_days
window by_day as (partition by invoice_id order by event_on)
