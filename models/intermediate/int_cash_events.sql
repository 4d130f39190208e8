-- One row per dated movement of money by the as-of day: received, its fee, refunded, taken by the bank for a dispute,
-- given back by it, lost; with the invoice its payment paid. Amounts are sizes.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
test_customers as (
  select customer_id
  from {{ ref('int_customer_attributes') }}
  cross join build
  where is_test and valid_from <= build.as_of and valid_to > build.as_of
),
payers as (
  select payment_id, min(customer_id) as customer_id
  from {{ ref('stg_billing__payments') }}
  group by payment_id
),
-- a payment is received once, by the attempt that has a day of receipt
received as (
  select payment_id, currency, amount_minor, fee_minor, received_on
  from {{ ref('stg_billing__payments') }}
  where received_on is not null
  qualify row_number() over (partition by payment_id order by attempt_no desc) = 1
),
-- what each payment paid, of several invoices the one it paid most of
paid as (
  select payment_id, arg_max(invoice_id, (paid_minor, invoice_id)) as invoice_id
  from (
    select paid_by_id as payment_id, invoice_id, -sum(unpaid_minor) as paid_minor
    from {{ ref('int_invoice_changes') }}
    where event_kind in ('payment', 'recovered')
    group by paid_by_id, invoice_id
  )
  group by payment_id
),
events as (
  select 'received' as event_kind, payment_id as source_id, payment_id, currency, received_on as event_on, amount_minor
  from received
  union all
  select 'fee' as event_kind, payment_id as source_id, payment_id, currency, received_on as event_on, fee_minor
  from received
  union all
  select 'refunded' as event_kind, refund_id as source_id, payment_id, currency, refunded_on as event_on, amount_minor
  from {{ ref('stg_billing__refunds') }}
  union all
  select 'dispute_opened' as event_kind, dispute_id as source_id, payment_id, currency, opened_on as event_on, amount_minor
  from {{ ref('stg_billing__disputes') }}
  union all
  select
    case outcome when 'won' then 'dispute_won' else 'dispute_lost' end as event_kind,
    dispute_id as source_id, payment_id, currency, closed_on as event_on, amount_minor
  from {{ ref('stg_billing__disputes') }}
  where outcome in ('won', 'lost')
)
select
  events.event_kind,
  events.source_id,
  events.payment_id,
  payers.customer_id,
  paid.invoice_id,
  invoices.invoice_no,
  events.currency,
  events.event_on,
  events.amount_minor,
  test_customers.customer_id is not null as is_test
from events
cross join build
left join payers using (payment_id)
left join paid using (payment_id)
left join {{ ref('stg_billing__invoices') }} as invoices on invoices.invoice_id = paid.invoice_id
left join test_customers on test_customers.customer_id = payers.customer_id
where events.event_on <= build.as_of
  and events.amount_minor <> 0
