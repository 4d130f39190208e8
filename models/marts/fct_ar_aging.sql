-- What was owed at the close of each month and of the as-of day, by days past due.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
days as (
  select unnest(generate_series(
    date_trunc('month', (select min(issued_on) from {{ ref('stg_billing__invoices') }})),
    build.as_of,
    interval 1 month
  ))::date as month
  from build
),
snapshots as (
  select least(({{ add_months('days.month', 1) }} - 1)::date, build.as_of) as snapshot_on
  from days
  cross join build
),
open_invoices as (
  select
    snapshots.snapshot_on,
    balances.invoice_id,
    balances.customer_id,
    balances.currency,
    balances.remaining_minor,
    snapshots.snapshot_on - balances.due_on as days_past_due
  from {{ ref('int_invoice_balances') }} as balances
  join snapshots
    on balances.valid_from <= snapshots.snapshot_on
    and coalesce(balances.valid_to, date '9999-12-31') > snapshots.snapshot_on
  where balances.remaining_minor <> 0
),
bucketed as (
  select
    open_invoices.*,
    attributes.segment,
    case
      when open_invoices.days_past_due <= 0 or open_invoices.days_past_due is null then 'current'
      when open_invoices.days_past_due <= 30 then 'd1_30'
      when open_invoices.days_past_due <= 60 then 'd31_60'
      when open_invoices.days_past_due <= 90 then 'd61_90'
      else 'd91_plus'
    end as bucket
  from open_invoices
  cross join build
  join {{ ref('int_customer_attributes') }} as attributes
    on attributes.customer_id = open_invoices.customer_id
    and attributes.valid_from <= build.as_of
    and attributes.valid_to > build.as_of
  where not attributes.is_test
)
select
  snapshot_on,
  currency,
  segment,
  bucket,
  count(*) as invoices,
  count(distinct customer_id) as customers,
  sum(remaining_minor)::bigint as remaining_minor
from bucketed
group by snapshot_on, currency, segment, bucket
