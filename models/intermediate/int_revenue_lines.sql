-- One row per line that earns revenue or takes it back, issued by the as-of day: lines of invoices, lines of credit
-- notes, and what a void takes back where no note did. Amounts are signed: credits are negative. Each is earned day by
-- day over its service, a line without service days on the day it is issued. What tops up a wallet is no revenue.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
invoices as (
  select * from {{ ref('stg_billing__invoices') }}
  where issued_on <= (select as_of from build)
),
notes as (
  select * from {{ ref('stg_billing__credit_notes') }}
  where issued_on <= (select as_of from build)
),
note_lines as (
  select
    lines.line_id,
    notes.credit_note_id,
    notes.customer_id,
    notes.currency,
    notes.issued_on,
    lines.invoice_line_id,
    lines.service_start,
    lines.service_end,
    lines.net_minor,
    notes.source_system
  from {{ ref('stg_billing__credit_note_lines') }} as lines
  join notes using (credit_note_id)
),
credited as (
  select invoice_line_id, sum(net_minor) as credited_minor
  from note_lines
  group by invoice_line_id
),
invoice_lines as (
  select
    lines.line_id,
    lines.invoice_id,
    lines.subscription_item_id,
    lines.kind,
    lines.service_start,
    lines.service_end,
    lines.net_minor,
    coalesce(credited.credited_minor, 0) as credited_minor
  from {{ ref('stg_billing__invoice_lines') }} as lines
  left join credited on credited.invoice_line_id = lines.line_id
),
-- a void whose notes take back less than was billed: the rest of each line goes with it
voided as (
  select invoices.*
  from invoices
  join invoice_lines using (invoice_id)
  where invoices.voided_on <= (select as_of from build)
  group by all
  having sum(invoice_lines.credited_minor) < sum(invoice_lines.net_minor)
),
documents as (
  select
    'invoice' as document_kind,
    lines.line_id,
    invoices.invoice_id as document_id,
    lines.subscription_item_id,
    lines.kind,
    invoices.customer_id,
    invoices.currency,
    invoices.issued_on,
    lines.service_start,
    lines.service_end,
    lines.net_minor,
    invoices.source_system
  from invoice_lines as lines
  join invoices using (invoice_id)
  union all by name
  select
    'credit_note' as document_kind,
    note_lines.line_id,
    note_lines.credit_note_id as document_id,
    lines.subscription_item_id,
    lines.kind,
    note_lines.customer_id,
    note_lines.currency,
    note_lines.issued_on,
    note_lines.service_start,
    note_lines.service_end,
    -note_lines.net_minor as net_minor,
    note_lines.source_system
  from note_lines
  left join invoice_lines as lines on lines.line_id = note_lines.invoice_line_id
  union all by name
  select
    'void' as document_kind,
    lines.line_id,
    voided.invoice_id as document_id,
    lines.subscription_item_id,
    lines.kind,
    voided.customer_id,
    voided.currency,
    greatest(voided.voided_on, voided.issued_on) as issued_on,
    lines.service_start,
    lines.service_end,
    (lines.credited_minor - lines.net_minor)::bigint as net_minor,
    voided.source_system
  from invoice_lines as lines
  join voided using (invoice_id)
)
select
  documents.document_kind,
  documents.line_id,
  documents.document_id,
  documents.subscription_item_id,
  coalesce(documents.kind, 'unknown') as kind,
  documents.customer_id,
  coalesce(attributes.segment, 'unknown') as segment,
  coalesce(attributes.is_test, false) as is_test,
  documents.currency,
  documents.issued_on,
  case when documents.service_start < documents.service_end then documents.service_start else documents.issued_on end
    as earned_start,
  case when documents.service_start < documents.service_end then documents.service_end else documents.issued_on + 1 end
    as earned_end,
  documents.net_minor,
  documents.source_system
from documents
cross join build
left join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = documents.customer_id
  and attributes.valid_from <= build.as_of
  and attributes.valid_to > build.as_of
where documents.kind is distinct from 'top_up'
