-- Invoices whose charge failed while something was owed, and what came in within 60 days. Payments and wallets recover,
-- also of what was written off meanwhile; credit notes and discounts lower what is to be recovered, write-offs and voids
-- recover nothing.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
attempts as (
  select events.*
  from {{ ref('stg_billing__dunning_events') }} as events
  cross join build
  where events.attempted_on <= build.as_of
),
failures as (
  select
    invoice_id,
    min(attempted_on) filter (where outcome <> 'recovered') as failed_on,
    count(*) as attempts,
    arg_max(outcome, attempt_no) = 'exhausted' as is_exhausted
  from attempts
  group by invoice_id
),
invoices as (
  select
    changes.invoice_id,
    min(changes.customer_id) as customer_id,
    min(changes.currency) as currency,
    min(failures.attempts) as attempts,
    bool_or(failures.is_exhausted) as is_exhausted,
    -- the day of an attempt is told in the reporting timezone, that of the issue in the customer's
    greatest(min(failures.failed_on), min(changes.event_on) filter (where changes.event_kind = 'invoiced'))
      as first_failed_on,
    sum(changes.amount_minor) as remaining_minor
  from failures
  join {{ ref('int_invoice_changes') }} as changes using (invoice_id)
  where failures.failed_on is not null and not changes.is_test
  group by changes.invoice_id
),
dated as (
  select
    invoices.invoice_id,
    changes.event_on,
    changes.event_kind in ('payment', 'wallet', 'recovered') as is_payment,
    changes.event_kind in ('written_off', 'void') as is_given_up,
    -- what was owed when the charge failed: of that day, what was credited or was there to pay, not what came in
    changes.event_on < invoices.first_failed_on
      or changes.event_on = invoices.first_failed_on
      and changes.event_kind not in ('written_off', 'void')
      and (
        changes.event_kind not in ('payment', 'recovered')
        or coalesce(received.event_on < invoices.first_failed_on, false)
      )
      as is_before,
    changes.event_on <= invoices.first_failed_on + 60 as is_in_time,
    -- what is recovered of a write-off lowers no receivable, and is paid all the same
    case
      when changes.event_kind = 'recovered' and changes.event_on >= invoices.first_failed_on then changes.unpaid_minor
      else changes.amount_minor
    end as amount_minor
  from invoices
  join {{ ref('int_invoice_changes') }} as changes using (invoice_id)
  left join {{ ref('int_cash_events') }} as received
    on received.event_kind = 'received' and received.payment_id = changes.paid_by_id
),
failed as (
  select
    invoice_id,
    sum(amount_minor) filter (where is_before) as failed_minor,
    -coalesce(sum(amount_minor) filter (where not is_before and is_in_time and is_payment), 0) as paid_minor
  from dated
  group by invoice_id
),
running as (
  select
    dated.invoice_id,
    dated.event_on,
    failed.failed_minor,
    -sum(case when dated.is_payment then dated.amount_minor else 0 end) over by_day as paid_minor,
    -sum(dated.amount_minor) over by_day as settled_minor
  from dated
  join failed using (invoice_id)
  where not dated.is_before and dated.is_in_time and not dated.is_given_up
  window by_day as (partition by dated.invoice_id order by dated.event_on)
),
-- the first day from which on the debt stayed paid until the window's end
recovered as (
  select invoice_id, min(event_on) as recovered_on
  from (
    select
      invoice_id,
      event_on,
      max(case when paid_minor > 0 and settled_minor >= failed_minor then null else event_on end)
        over (partition by invoice_id) as last_open_on
    from running
  ) as states
  where last_open_on is null or event_on > last_open_on
  group by invoice_id
),
recovering_attempts as (
  select invoices.invoice_id, max(attempts.attempt_no) as recovered_attempt
  from invoices
  join attempts using (invoice_id)
  where attempts.outcome = 'recovered' and attempts.attempted_on <= invoices.first_failed_on + 60
  group by invoices.invoice_id
)
select
  invoices.invoice_id,
  invoices.customer_id,
  attributes.segment,
  invoices.currency,
  date_trunc('month', invoices.first_failed_on)::date as cohort_month,
  invoices.first_failed_on,
  failed.failed_minor::bigint as failed_minor,
  invoices.attempts,
  recovered.recovered_on,
  case when recovered.recovered_on is not null then recovering_attempts.recovered_attempt end as recovered_attempt,
  greatest(least(failed.paid_minor, failed.failed_minor), 0)::bigint as recovered_minor,
  case
    when recovered.recovered_on is not null then 'recovered'
    when invoices.is_exhausted then 'exhausted'
    when invoices.remaining_minor > 0 and build.as_of < invoices.first_failed_on + 60 then 'pending'
    else 'lost'
  end as outcome
from invoices
cross join build
join failed using (invoice_id)
left join recovered using (invoice_id)
left join recovering_attempts using (invoice_id)
join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = invoices.customer_id
  and attributes.valid_from <= invoices.first_failed_on
  and attributes.valid_to > invoices.first_failed_on
where failed.failed_minor > 0
