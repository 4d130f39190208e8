-- One row per as-of day and paying customer with an invoice by then: how it pays, as known on that day.
with days as (
  select as_of from {{ ref('int_account_days') }}
),
customers as (
  select as_of, billed_customer_id, customer_id from {{ ref('int_account_customers') }}
),
invoices as (
  select * from {{ ref('stg_billing__invoices_known') }} where known_from < known_until
),
invoiced as (
  select distinct customers.as_of, customers.customer_id
  from customers
  join (
    select customer_id, min(greatest(issued_on, known_from)) as first_seen_on from invoices group by customer_id
  ) as firsts
    on firsts.customer_id = customers.billed_customer_id and firsts.first_seen_on <= customers.as_of
),
unpaid as (
  select days.as_of, unpaid.*
  from days
  join {{ ref('int_account_unpaid') }} as unpaid
    on unpaid.valid_from <= days.as_of and unpaid.valid_to > days.as_of
),
failures as (
  select unpaid.as_of, unpaid.invoice_id, count(*) as failed_attempts
  from unpaid
  join {{ ref('stg_billing__dunning_events_known') }} as dunning
    on dunning.invoice_id = unpaid.invoice_id
    and dunning.attempted_on <= unpaid.as_of
    and dunning.known_from <= unpaid.as_of and dunning.known_until > unpaid.as_of
  where dunning.outcome in ('failed', 'exhausted')
  group by unpaid.as_of, unpaid.invoice_id
),
owed as (
  select
    customers.as_of,
    customers.customer_id,
    max(failures.failed_attempts) as open_dunning_attempts,
    max(unpaid.as_of - unpaid.due_on) as days_overdue_max,
    list({'currency': unpaid.currency, 'unpaid_minor': unpaid.unpaid_minor}) as unpaid
  from unpaid
  join customers
    on customers.as_of = unpaid.as_of and customers.billed_customer_id = unpaid.customer_id
  left join failures on failures.as_of = unpaid.as_of and failures.invoice_id = unpaid.invoice_id
  group by customers.as_of, customers.customer_id
),
-- what was tried to collect in half a year
attempts as (
  select
    customers.as_of,
    customers.customer_id,
    coalesce(payments.invoice_id, payments.payment_id) as charge_id,
    payments.attempted_on,
    payments.status = 'declined' as is_declined
  from days
  join {{ ref('stg_billing__payments_known') }} as payments
    on payments.attempted_on <= days.as_of and payments.attempted_on > days.as_of - 180
    and payments.known_from <= days.as_of and payments.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = payments.customer_id
),
failed as (
  select
    as_of,
    customer_id,
    count(*) as failed_payments_90,
    min(as_of - attempted_on) as days_since_failed_payment
  from attempts
  where is_declined and attempted_on > as_of - 90
  group by as_of, customer_id
),
-- invoice by invoice, whether any attempt was declined
charges as (
  select
    as_of,
    customer_id,
    charge_id,
    min(attempted_on) as tried_on,
    bool_or(is_declined) as was_declined
  from attempts
  group by as_of, customer_id, charge_id
),
newest_first as (
  select
    *,
    row_number() over (partition by as_of, customer_id order by tried_on desc, charge_id) - 1 as newer_charges
  from charges
),
declines as (
  select
    as_of,
    customer_id,
    coalesce(min(newer_charges) filter (not was_declined), count(*)) as declined_in_a_row
  from newest_first
  group by as_of, customer_id
),
-- due more than five days ago, and of these the ones of which something was unpaid on the fifth day or later
due as (
  select days.as_of, invoices.customer_id, invoices.invoice_id, invoices.due_on
  from days
  join invoices
    on invoices.due_on + 5 < days.as_of and invoices.due_on > days.as_of - 365
    and invoices.known_from <= days.as_of and invoices.known_until > days.as_of
    and invoices.issued_on <= days.as_of
  where invoices.total_minor > 0
    and coalesce(invoices.voided_on > days.as_of, true)
),
late as (
  select distinct due.as_of, due.invoice_id
  from due
  join {{ ref('int_account_unpaid') }} as unpaid
    on unpaid.invoice_id = due.invoice_id
    and unpaid.valid_from <= due.as_of
    and unpaid.valid_to > due.due_on + 5
),
paid_late as (
  select
    customers.as_of,
    customers.customer_id,
    count(late.invoice_id)::double / count(*)::double as late_share_365
  from due
  join customers on customers.as_of = due.as_of and customers.billed_customer_id = due.customer_id
  left join late on late.as_of = due.as_of and late.invoice_id = due.invoice_id
  group by customers.as_of, customers.customer_id
),
methods as (
  select customers.as_of, customers.customer_id, known.kind, known.expires_on
  from days
  join {{ ref('stg_billing__payment_methods_known') }} as known
    on known.valid_from <= days.as_of and known.valid_to > days.as_of
    and known.known_from <= days.as_of and known.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = known.customer_id
  qualify row_number() over (
    partition by customers.as_of, customers.customer_id order by known.valid_from desc, known.method_id
  ) = 1
),
disputes as (
  select customers.as_of, customers.customer_id, count(distinct known.dispute_id) as disputes_365
  from days
  join {{ ref('stg_billing__disputes_known') }} as known
    on known.opened_on <= days.as_of and known.opened_on > days.as_of - 365
    and known.known_from <= days.as_of and known.known_until > days.as_of
  join (
    select
      payment_id,
      arg_min(customer_id, (recorded_at, attempt_no)) as customer_id,
      min(greatest(attempted_on, known_from)) as seen_on
    from {{ ref('stg_billing__payments_known') }}
    group by payment_id
  ) as payments
    on payments.payment_id = known.payment_id and payments.seen_on <= days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = payments.customer_id
  group by customers.as_of, customers.customer_id
),
recent as materialized (
  select days.as_of, invoices.invoice_id, invoices.customer_id
  from days
  join invoices
    on invoices.issued_on <= days.as_of and invoices.issued_on > days.as_of - 90
    and invoices.known_from <= days.as_of and invoices.known_until > days.as_of
  where coalesce(invoices.voided_on > days.as_of, true)
),
billed as (
  select
    customers.as_of,
    customers.customer_id,
    sum(lines.net_minor) as net_minor,
    sum(lines.net_minor) filter (lines.kind = 'usage') as use_minor
  from recent
  join {{ ref('stg_billing__invoice_lines_known') }} as lines
    on lines.invoice_id = recent.invoice_id
    and lines.known_from <= recent.as_of and lines.known_until > recent.as_of
  join customers
    on customers.as_of = recent.as_of and customers.billed_customer_id = recent.customer_id
  where lines.net_minor > 0
  group by customers.as_of, customers.customer_id
)
select
  invoiced.as_of,
  invoiced.customer_id,
  coalesce(failed.failed_payments_90, 0) as failed_payments_90,
  failed.days_since_failed_payment,
  declines.declined_in_a_row,
  coalesce(owed.open_dunning_attempts, 0) as open_dunning_attempts,
  greatest(coalesce(owed.days_overdue_max, 0), 0) as days_overdue_max,
  owed.unpaid,
  case when methods.kind = 'card' then methods.expires_on - invoiced.as_of end as days_to_card_expiry,
  coalesce(methods.kind, 'none') as payment_method,
  paid_late.late_share_365,
  coalesce(disputes.disputes_365, 0) as disputes_365,
  case when billed.net_minor > 0 then coalesce(billed.use_minor, 0)::double / billed.net_minor::double end
    as overage_share
from invoiced
left join owed using (as_of, customer_id)
left join failed using (as_of, customer_id)
left join declines using (as_of, customer_id)
left join methods using (as_of, customer_id)
left join paid_late using (as_of, customer_id)
left join disputes using (as_of, customer_id)
left join billed using (as_of, customer_id)
