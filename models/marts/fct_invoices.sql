-- Invoices issued by the as-of day with what was applied to them by then.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
applied as (
  select invoice_id, sum(amount_minor) as applied_minor
  from {{ ref('stg_billing__applications') }}
  where applied_on <= (select as_of from build)
  group by invoice_id
),
balances as (
  -- the last stretch says what remains; the first day of the last run without debt is the day of payment
  select
    invoice_id,
    max(valid_to) as ended_on,
    arg_max(remaining_minor, valid_from) as remaining_minor,
    max(valid_to) filter (where remaining_minor > 0) as settled_on,
    bool_or(valid_to is null) as is_running
  from {{ ref('int_invoice_balances') }}
  group by invoice_id
),
invoices as (
  select
    invoices.*,
    coalesce(applied.applied_minor, 0) as applied_minor,
    case when invoices.written_off_on <= build.as_of then coalesce(invoices.written_off_minor, 0) else 0 end
      as written_off_now_minor,
    case when balances.is_running then balances.remaining_minor else 0 end as remaining_minor,
    balances.settled_on,
    build.as_of
  from {{ ref('stg_billing__invoices') }} as invoices
  cross join build
  join balances using (invoice_id)
  left join applied using (invoice_id)
)
select
  invoices.invoice_id,
  invoices.invoice_no,
  invoices.customer_id,
  attributes.segment,
  invoices.currency,
  invoices.status,
  invoices.issued_on,
  invoices.due_on,
  invoices.net_minor,
  invoices.tax_minor,
  invoices.total_minor,
  invoices.applied_minor::bigint as applied_minor,
  invoices.written_off_now_minor::bigint as written_off_minor,
  invoices.remaining_minor::bigint as remaining_minor,
  case when invoices.remaining_minor <= 0 then coalesce(invoices.settled_on, invoices.issued_on) end as settled_on,
  case when invoices.remaining_minor > 0 then (invoices.as_of - invoices.due_on)::integer end as days_past_due
from invoices
join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = invoices.customer_id
  and attributes.valid_from <= invoices.as_of
  and attributes.valid_to > invoices.as_of
where not attributes.is_test
