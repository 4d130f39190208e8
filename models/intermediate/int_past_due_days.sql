-- One row per subscription item and stretch of days out of MRR for lateness: from the day after the grace period until
-- the invoice is paid. An item without invoices that have a due day is late from its first day of status past_due.
-- Restated, whoever is not paid within 30 days is out from the first day past due.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
policy as (
  select
    coalesce(grace_days, 30) as grace_days,
    case past_due_grace_days when 'restate' then 0 else grace_days end as days_in_mrr
  from {{ ref('stg_meta__policy') }}
  where grace_days is not null or past_due_grace_days = 'restate'
),
billed_items as (
  select distinct lines.invoice_id, lines.subscription_item_id
  from {{ ref('stg_billing__invoice_lines') }} as lines
  join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
  where lines.subscription_item_id is not null
    and invoices.due_on is not null
),
-- the invoices that outlast the grace period unpaid
late_invoices as (
  select distinct balances.invoice_id
  from {{ ref('int_invoice_balances') }} as balances
  cross join policy
  cross join build
  where balances.unpaid_minor > 0
    and coalesce(balances.valid_to, date '9999-12-31') > balances.due_on + policy.grace_days + 1
    and balances.due_on + policy.grace_days + 1 <= build.as_of
),
by_invoice as (
  select
    billed_items.subscription_item_id,
    greatest(balances.valid_from, balances.due_on + policy.days_in_mrr + 1) as valid_from,
    balances.valid_to
  from {{ ref('int_invoice_balances') }} as balances
  join billed_items using (invoice_id)
  semi join late_invoices using (invoice_id)
  cross join policy
  where balances.unpaid_minor > 0
),
past_due_versions as (
  select
    subscription_item_id,
    valid_from,
    valid_to,
    lag(valid_to) over by_day is distinct from valid_from as is_first
  from {{ ref('stg_billing__past_due_versions') }}
  where subscription_item_id not in (select subscription_item_id from billed_items)
  window by_day as (partition by subscription_item_id order by valid_from)
),
past_due_runs as (
  select *, count(*) filter (where is_first) over (partition by subscription_item_id order by valid_from) as run_no
  from past_due_versions
),
by_status as (
  select
    subscription_item_id,
    min(valid_from) as late_since,
    case when count(*) = count(valid_to) then max(valid_to) end as valid_to
  from past_due_runs
  group by subscription_item_id, run_no
),
late_statuses as (
  select
    by_status.subscription_item_id,
    by_status.late_since + policy.days_in_mrr + 1 as valid_from,
    by_status.valid_to
  from by_status
  cross join policy
  cross join build
  where coalesce(by_status.valid_to, date '9999-12-31') > by_status.late_since + policy.grace_days + 1
    and by_status.late_since + policy.grace_days + 1 <= build.as_of
),
late_days as (
  select * from by_invoice
  union all
  select * from late_statuses
)
-- use is as late as the item that it is of
select
  unnest(
    case
      when (select "usage" from {{ ref('stg_meta__policy') }}) = 'in_3m_mean'
        then [subscription_item_id, {{ item_of_use('subscription_item_id') }}]
      else [subscription_item_id]
    end) as subscription_item_id,
  valid_from::date as valid_from,
  coalesce(valid_to, date '9999-12-31') as valid_to
from late_days
where valid_from < coalesce(valid_to, date '9999-12-31')
  and valid_from <= (select as_of from build)
