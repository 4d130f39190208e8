-- Invoices issued by the as-of day with what was applied to them by then.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
changed as (
  select
    invoice_id,
    -coalesce(sum(amount_minor) filter (where event_kind not in ('invoiced', 'written_off', 'void')), 0) as applied_minor,
    -coalesce(sum(amount_minor) filter (where event_kind = 'written_off'), 0) as written_off_minor
  from {{ ref('int_invoice_changes') }}
  group by invoice_id
),
balances as (
  -- the last stretch says what remains; the first day of the last run without debt is the day of payment
  select
    invoice_id,
    arg_max(remaining_minor, valid_from) as remaining_minor,
    max(valid_to) filter (where remaining_minor > 0) as settled_on
  from {{ ref('int_invoice_balances') }}
  where not is_test
  group by invoice_id
)
select
  invoices.invoice_id,
  invoices.invoice_no,
  invoices.customer_id,
  attributes.segment,
  invoices.currency,
  invoices.status,
  invoices.issued_on,
  case when invoices.voided_on <= build.as_of then invoices.voided_on end as voided_on,
  invoices.due_on,
  invoices.net_minor,
  invoices.tax_minor,
  invoices.total_minor,
  changed.applied_minor::bigint as applied_minor,
  changed.written_off_minor::bigint as written_off_minor,
  balances.remaining_minor::bigint as remaining_minor,
  case when balances.remaining_minor <= 0 then coalesce(balances.settled_on, invoices.issued_on) end as settled_on,
  case when balances.remaining_minor > 0 then (build.as_of - invoices.due_on)::integer end as days_past_due
from {{ ref('stg_billing__invoices') }} as invoices
cross join build
join balances using (invoice_id)
join changed using (invoice_id)
join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = invoices.customer_id
  and attributes.valid_from <= build.as_of
  and attributes.valid_to > build.as_of
