-- The movements that net cash is the sum of, one by one. A dispute that is open, or was won, is none of them.
select
  events.event_kind,
  events.source_id,
  events.payment_id,
  events.customer_id,
  events.invoice_id,
  events.invoice_no,
  coalesce(attributes.segment, 'unknown') as segment,
  events.event_on,
  events.currency,
  (case when events.event_kind = 'received' then events.amount_minor else -events.amount_minor end)::bigint as net_minor
from {{ ref('int_cash_events') }} as events
left join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = events.customer_id
  and attributes.valid_from <= events.event_on
  and attributes.valid_to > events.event_on
where events.event_kind in ('received', 'fee', 'refunded', 'dispute_lost') and not events.is_test
