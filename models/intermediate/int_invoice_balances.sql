-- One row per invoice and stretch of days of constant balance, from its issue on, as far as the as-of day.
-- remaining = total - applied - written off (never below what applications say); unpaid leaves write-offs out,
-- since a written-off invoice has not been paid.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
invoices as (
  select * from {{ ref('stg_billing__invoices') }}
  where issued_on <= (select as_of from build)
),
changes as (
  select invoice_id, issued_on as changed_on, total_minor as remaining_change, total_minor as unpaid_change
  from invoices
  union all
  select
    applications.invoice_id,
    greatest(applications.applied_on, invoices.issued_on) as changed_on,
    -applications.amount_minor as remaining_change,
    -applications.amount_minor as unpaid_change
  from {{ ref('stg_billing__applications') }} as applications
  join invoices using (invoice_id)
  where applications.applied_on <= (select as_of from build)
  union all
  select
    invoice_id,
    greatest(written_off_on, issued_on) as changed_on,
    -coalesce(written_off_minor, 0) as remaining_change,
    0 as unpaid_change
  from invoices
  where written_off_on <= (select as_of from build)
),
change_days as (
  select
    invoice_id,
    changed_on,
    sum(remaining_change) as remaining_change,
    sum(unpaid_change) as unpaid_change
  from changes
  group by invoice_id, changed_on
),
balances as (
  select
    invoice_id,
    changed_on as valid_from,
    lead(changed_on) over by_day as valid_to,
    sum(remaining_change) over by_day as remaining_minor,
    sum(unpaid_change) over by_day as unpaid_minor
  from change_days
  window by_day as (partition by invoice_id order by changed_on)
)
select
  balances.invoice_id,
  invoices.customer_id,
  invoices.currency,
  invoices.due_on,
  balances.valid_from,
  -- a void ends the debt even where the source has no credit note for it
  case
    when invoices.voided_on <= (select as_of from build)
      then least(coalesce(balances.valid_to, invoices.voided_on), invoices.voided_on)
    else balances.valid_to
  end as valid_to,
  balances.remaining_minor::bigint as remaining_minor,
  balances.unpaid_minor::bigint as unpaid_minor
from balances
join invoices using (invoice_id)
where invoices.voided_on is null
  or invoices.voided_on > (select as_of from build)
  or balances.valid_from < invoices.voided_on
