-- One row per invoice and stretch of days on which a part of it is unpaid, as was known on each of these days. A payment
-- counts from the day it came and was recorded.
with paid_changes as (
  select
    invoice_id,
    unnest([greatest(applied_on, known_from), greatest(applied_on, known_until)]) as changed_on,
    unnest([amount_minor, -amount_minor]) as amount_minor
  from {{ ref('stg_billing__applications_known') }}
  where known_from < known_until
  union all
  -- what came in for a debt after it was written off
  select
    invoice_id,
    unnest([greatest(received_on, known_from), greatest(received_on, known_until)]) as changed_on,
    unnest([amount_minor, -amount_minor]) as amount_minor
  from {{ ref('stg_billing__payments_known') }}
  where kind = 'recovery' and received_on is not null and known_from < known_until
),
paid_days as (
  select invoice_id, changed_on, sum(amount_minor) as amount_minor
  from paid_changes
  where changed_on < date '9999-12-31'
  group by invoice_id, changed_on
),
paid as (
  select
    invoice_id,
    changed_on as valid_from,
    lead(changed_on, 1, date '9999-12-31') over by_day as valid_to,
    sum(amount_minor) over by_day as paid_minor
  from paid_days
  window by_day as (partition by invoice_id order by changed_on)
  union all
  select invoice_id, date '0001-01-01' as valid_from, min(changed_on) as valid_to, 0 as paid_minor
  from paid_days
  group by invoice_id
),
stretches as (
  select
    invoices.invoice_id,
    invoices.customer_id,
    invoices.currency,
    invoices.due_on,
    greatest(invoices.issued_on, invoices.known_from, paid.valid_from) as valid_from,
    least(
      invoices.known_until,
      coalesce(paid.valid_to, date '9999-12-31'),
      coalesce(invoices.voided_on, date '9999-12-31')
    ) as valid_to,
    (invoices.total_minor - coalesce(paid.paid_minor, 0))::bigint as unpaid_minor
  from {{ ref('stg_billing__invoices_known') }} as invoices
  left join paid using (invoice_id)
)
select * from stretches where unpaid_minor > 0 and valid_from < valid_to
