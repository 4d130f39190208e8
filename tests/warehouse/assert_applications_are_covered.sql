-- Nobody pays more than is owed, and no payment or credit note is used beyond its amount.
select 'invoice' as kind, invoice_id as id, remaining_minor as amount
from {{ ref('int_invoice_balances') }}
where remaining_minor < 0
union all
select 'credit_note' as kind, notes.credit_note_id as id, sum(applications.amount_minor) - min(notes.total_minor) as amount
from {{ ref('stg_billing__applications') }} as applications
join {{ ref('stg_billing__credit_notes') }} as notes on notes.credit_note_id = applications.source_id
where applications.source_kind = 'credit_note'
group by notes.credit_note_id
having sum(applications.amount_minor) > min(notes.total_minor)
union all
select 'payment' as kind, payments.payment_id as id, sum(applications.amount_minor) - min(payments.amount_minor) as amount
from {{ ref('stg_billing__applications') }} as applications
join (
  select payment_id, max(amount_minor) as amount_minor from {{ ref('stg_billing__payments') }} group by payment_id
) as payments on payments.payment_id = applications.source_id
where applications.source_kind = 'payment'
group by payments.payment_id
having sum(applications.amount_minor) > min(payments.amount_minor)
