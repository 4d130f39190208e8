-- One row per subscription item and stretch of days out of MRR for lateness: from the day after the grace period until
-- the invoice is paid. An item without invoices is late from its first day of status past_due.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
policy as (
  select grace_days from {{ ref('stg_meta__policy') }} where grace_days is not null
),
billed_items as (
  select distinct invoice_id, subscription_item_id
  from {{ ref('stg_billing__invoice_lines') }}
  where subscription_item_id is not null
),
by_invoice as (
  select
    billed_items.subscription_item_id,
    greatest(balances.valid_from, balances.due_on + policy.grace_days + 1) as valid_from,
    balances.valid_to
  from {{ ref('int_invoice_balances') }} as balances
  join billed_items using (invoice_id)
  cross join policy
  where balances.unpaid_minor > 0
),
past_due_versions as (
  select
    subscription_item_id,
    valid_from,
    valid_to,
    lag(valid_to) over by_day is distinct from valid_from as is_first
  from {{ ref('stg_billing__subscription_versions') }}
  where status = 'past_due'
    and subscription_item_id not in (select subscription_item_id from billed_items)
  window by_day as (partition by subscription_item_id order by valid_from)
),
past_due_runs as (
  select *, count(*) filter (where is_first) over (partition by subscription_item_id order by valid_from) as run_no
  from past_due_versions
),
by_status as (
  select
    subscription_item_id,
    min(valid_from) + min(policy.grace_days) + 1 as valid_from,
    case when count(*) = count(valid_to) then max(valid_to) end as valid_to
  from past_due_runs
  cross join policy
  group by subscription_item_id, run_no
),
late_days as (
  select * from by_invoice
  union all
  select * from by_status
)
select subscription_item_id, valid_from::date as valid_from, coalesce(valid_to, date '9999-12-31') as valid_to
from late_days
where valid_from < coalesce(valid_to, date '9999-12-31')
  and valid_from <= (select as_of from build)
