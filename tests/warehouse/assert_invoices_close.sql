-- Of an invoice's total what was applied and written off by the as-of day leaves what remains; nothing remains of a void one.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
applied as (
  select invoice_id, sum(amount_minor) as applied_minor
  from {{ ref('stg_billing__applications') }}
  cross join build
  where applied_on <= build.as_of
  group by invoice_id
)
select invoices.invoice_id, invoices.total_minor, invoices.applied_minor, invoices.written_off_minor, invoices.remaining_minor
from {{ ref('fct_invoices') }} as invoices
join {{ ref('stg_billing__invoices') }} as issued using (invoice_id)
left join applied using (invoice_id)
cross join build
where invoices.applied_minor <> coalesce(applied.applied_minor, 0)
  or invoices.issued_on > build.as_of
  or invoices.remaining_minor <> case
    when issued.voided_on <= build.as_of then 0
    else issued.total_minor - coalesce(applied.applied_minor, 0)
      - case when issued.written_off_on <= build.as_of then coalesce(issued.written_off_minor, 0) else 0 end
  end
