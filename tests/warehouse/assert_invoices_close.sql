-- Of an invoice's total what was applied and written off by the as-of day leaves what remains; nothing remains of a void
-- one, and nothing is applied to it any more. Where the ledger has an invoice, its receivable is what remains: it knows
-- the days on which write-offs were taken back.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
applied as (
  select applications.invoice_id, sum(applications.amount_minor) as applied_minor
  from {{ ref('stg_billing__applications') }} as applications
  join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
  cross join build
  where applications.applied_on <= build.as_of
    and (invoices.voided_on is null or applications.applied_on <= greatest(invoices.voided_on, invoices.issued_on))
  group by applications.invoice_id
),
ledger as (
  select invoice_id, sum(amount_minor) as posted_minor
  from {{ ref('stg_billing__ledger_entries') }}
  cross join build
  where account = 'receivable' and posted_on <= build.as_of and invoice_id is not null
  group by invoice_id
)
select
  invoices.invoice_id, invoices.total_minor, invoices.applied_minor, invoices.written_off_minor,
  invoices.remaining_minor, ledger.posted_minor
from {{ ref('fct_invoices') }} as invoices
join {{ ref('stg_billing__invoices') }} as issued using (invoice_id)
left join applied using (invoice_id)
left join ledger using (invoice_id)
cross join build
where invoices.applied_minor <> coalesce(applied.applied_minor, 0)
  or invoices.issued_on > build.as_of
  or invoices.remaining_minor <> case
    when issued.voided_on <= build.as_of then 0
    when ledger.posted_minor is not null then ledger.posted_minor
    else issued.total_minor - coalesce(applied.applied_minor, 0)
      - case when issued.written_off_on <= build.as_of then coalesce(issued.written_off_minor, 0) else 0 end
  end
