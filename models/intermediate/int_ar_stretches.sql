-- One row per open invoice, or payment with money not applied, and stretch of days in one bucket and segment, with the
-- constant amount of those days. Receivables of a day are the rows valid on it; unapplied money is negative.
with owed as (
  select invoice_id as source_id, customer_id, currency, due_on, valid_from, valid_to, remaining_minor
  from {{ ref('int_invoice_balances') }}
  where remaining_minor <> 0 and not is_test
),
-- days past due from which an invoice stands in a bucket, and from which no more
buckets as (
  select *
  from (values
    ('current', null, 1), ('d1_30', 1, 31), ('d31_60', 31, 61), ('d61_90', 61, 91), ('d91_plus', 91, null)
  ) as buckets (bucket, from_day, to_day)
),
aged as (
  select
    owed.source_id,
    owed.customer_id,
    owed.currency,
    buckets.bucket,
    owed.remaining_minor,
    greatest(owed.valid_from, owed.due_on + buckets.from_day) as valid_from,
    least(coalesce(owed.valid_to, date '9999-12-31'), owed.due_on + buckets.to_day) as valid_to
  from owed
  cross join buckets
  where owed.due_on is not null or buckets.bucket = 'current'
),
-- what came in for a debt after it was written off is no credit of the customer
recoveries as (
  select payment_id from {{ ref('stg_billing__payments') }} where kind = 'recovery'
),
-- what is sent back out of a credit note leaves the payment that it goes through as it is
refunds_of_notes as (
  select refund_id from {{ ref('stg_billing__refunds') }} where credit_note_id is not null
),
payment_changes as (
  select
    payment_id,
    event_on,
    case when event_kind in ('received', 'dispute_won') then amount_minor else -amount_minor end as change
  from {{ ref('int_cash_events') }}
  where event_kind in ('received', 'dispute_opened', 'dispute_won')
    or event_kind = 'refunded' and source_id not in (select refund_id from refunds_of_notes)
  union all
  select paid_by_id as payment_id, event_on, amount_minor as change
  from {{ ref('int_invoice_changes') }}
  where event_kind = 'payment'
),
payers as (
  select payment_id, customer_id, currency
  from {{ ref('int_cash_events') }}
  where event_kind = 'received'
    and not is_test
    and payment_id not in (select payment_id from recoveries)
),
payment_days as (
  select payment_id, event_on, sum(change) as change
  from payment_changes
  group by payment_id, event_on
),
payment_balances as (
  select
    payment_id,
    event_on as valid_from,
    lead(event_on) over by_day as valid_to,
    sum(change) over by_day as balance
  from payment_days
  window by_day as (partition by payment_id order by event_on)
),
-- money sent back out of a credit note leaves the payment applied: the payment has nothing over, and owes nothing
unapplied as (
  select
    balances.payment_id as source_id,
    payers.customer_id,
    payers.currency,
    'unapplied' as bucket,
    -balances.balance as remaining_minor,
    balances.valid_from,
    coalesce(balances.valid_to, date '9999-12-31') as valid_to
  from payment_balances as balances
  join payers using (payment_id)
  where balances.balance > 0
),
stretches as (
  select source_id, customer_id, currency, bucket, remaining_minor, valid_from, valid_to from aged
  where valid_from < valid_to
  union all
  select source_id, customer_id, currency, bucket, remaining_minor, valid_from, valid_to from unapplied
)
select
  stretches.source_id,
  stretches.customer_id,
  stretches.currency,
  coalesce(attributes.segment, 'unknown') as segment,
  stretches.bucket,
  greatest(stretches.valid_from, attributes.valid_from) as valid_from,
  least(stretches.valid_to, attributes.valid_to) as valid_to,
  stretches.remaining_minor::bigint as remaining_minor
from stretches
left join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = stretches.customer_id
  and attributes.valid_from < stretches.valid_to
  and attributes.valid_to > stretches.valid_from
