-- One row per dated change of what is owed on an invoice, by the as-of day: its issue, what was applied to it, what was
-- written off or taken back into the books, its void. Their running sum is the receivable of any day. unpaid_minor leaves
-- write-offs out, since a written-off invoice has not been paid: what is recovered of it pays it, and moves no receivable.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
test_customers as (
  select customer_id
  from {{ ref('int_customer_attributes') }}
  cross join build
  where is_test and valid_from <= build.as_of and valid_to > build.as_of
),
invoices as (
  select
    invoices.*,
    -- the day a void ends the debt
    case when invoices.voided_on is not null then greatest(invoices.voided_on, invoices.issued_on) end as void_on
  from {{ ref('stg_billing__invoices') }} as invoices
  cross join build
  where invoices.issued_on <= build.as_of
),
-- An invoice says what is written off of it now; its write-offs, where a source has them, say on which days that came
-- about: also when it was taken back, or more was given up later.
written_off as (
  select invoice_id, sum(amount_minor) as amount_minor, max(written_off_on) as written_off_on
  from {{ ref('stg_billing__write_offs') }}
  group by invoice_id
),
-- what came in for a debt after it was written off, received by the attempt that has a day of receipt
recoveries as (
  select payment_id, invoice_id, received_on, amount_minor
  from {{ ref('stg_billing__payments') }}
  where kind = 'recovery' and received_on is not null
  qualify row_number() over (partition by payment_id order by attempt_no desc) = 1
),
changes as (
  select
    'invoiced' as event_kind,
    invoice_id as source_id,
    invoice_id,
    null::varchar as paid_by_id,
    issued_on as event_on,
    total_minor as amount_minor
  from invoices
  union all
  select
    coalesce(source_kind, 'unknown') as event_kind,
    application_id as source_id,
    invoice_id,
    source_id as paid_by_id,
    applied_on as event_on,
    -amount_minor as amount_minor
  from {{ ref('stg_billing__applications') }}
  union all
  select
    'written_off' as event_kind,
    write_off_id as source_id,
    invoice_id,
    null::varchar as paid_by_id,
    written_off_on as event_on,
    -amount_minor as amount_minor
  from {{ ref('stg_billing__write_offs') }}
  union all
  -- what no write-off dates
  select
    'written_off' as event_kind,
    invoices.invoice_id as source_id,
    invoices.invoice_id,
    null::varchar as paid_by_id,
    coalesce(invoices.written_off_on, written_off.written_off_on) as event_on,
    coalesce(written_off.amount_minor, 0) - coalesce(invoices.written_off_minor, 0) as amount_minor
  from invoices
  left join written_off using (invoice_id)
  where coalesce(written_off.amount_minor, 0) <> coalesce(invoices.written_off_minor, 0)
  union all
  select
    'recovered' as event_kind,
    payment_id as source_id,
    invoice_id,
    payment_id as paid_by_id,
    received_on as event_on,
    -amount_minor as amount_minor
  from recoveries
),
dated as (
  select
    changes.event_kind,
    changes.source_id,
    changes.invoice_id,
    changes.paid_by_id,
    greatest(changes.event_on, invoices.issued_on) as event_on,
    case when changes.event_kind = 'recovered' then 0 else changes.amount_minor end as amount_minor,
    case when changes.event_kind = 'written_off' then 0 else changes.amount_minor end as unpaid_minor,
    invoices.void_on
  from changes
  join invoices using (invoice_id)
  cross join build
  where changes.event_on <= build.as_of
    -- nothing moves a debt that a void has ended
    and (invoices.void_on is null or changes.event_on <= invoices.void_on)
),
-- most voids are a credit note applied that day: then nothing is left to end
voids as (
  select
    'void' as event_kind,
    dated.invoice_id as source_id,
    dated.invoice_id,
    null::varchar as paid_by_id,
    dated.void_on as event_on,
    -sum(dated.amount_minor) as amount_minor,
    -sum(dated.unpaid_minor) as unpaid_minor
  from dated
  cross join build
  where dated.void_on <= build.as_of
  group by dated.invoice_id, dated.void_on
  having sum(dated.amount_minor) <> 0 or sum(dated.unpaid_minor) <> 0
),
events as (
  select event_kind, source_id, invoice_id, paid_by_id, event_on, amount_minor, unpaid_minor from dated
  union all
  select event_kind, source_id, invoice_id, paid_by_id, event_on, amount_minor, unpaid_minor from voids
)
select
  events.event_kind,
  events.source_id,
  events.invoice_id,
  events.paid_by_id,
  events.event_on,
  invoices.customer_id,
  invoices.currency,
  invoices.due_on,
  events.amount_minor::bigint as amount_minor,
  events.unpaid_minor::bigint as unpaid_minor,
  test_customers.customer_id is not null as is_test
from events
join invoices using (invoice_id)
left join test_customers on test_customers.customer_id = invoices.customer_id
