-- An item leaves MRR for lateness on the day after the grace period of its unpaid invoice (restated: once that is over, on
-- the first day past due), or where it has no invoices of
-- the status past_due, and comes back on the day of payment: on no other day, and on each of these.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
policy as (
  select coalesce(grace_days, 30) as grace_days, coalesce(grace_days, 0) as days_in_mrr
  from {{ ref('stg_meta__policy') }}
  where past_due_grace_days <> 'until_canceled'
),
billed as (
  select distinct lines.subscription_item_id, lines.invoice_id
  from {{ ref('stg_billing__invoice_lines') }} as lines
  join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
  where lines.subscription_item_id is not null and invoices.due_on is not null
),
past_due as (
  select versions.subscription_item_id, versions.valid_from, coalesce(versions.valid_to, date '9999-12-31') as valid_to
  from {{ ref('stg_billing__subscription_versions') }} as versions
  anti join billed using (subscription_item_id)
  where versions.status = 'past_due'
),
first_days as (
  select past_due.subscription_item_id, past_due.valid_from as late_since
  from past_due
  anti join past_due as earlier
    on earlier.subscription_item_id = past_due.subscription_item_id
    and earlier.valid_to = past_due.valid_from
),
owed as (
  select
    billed.subscription_item_id,
    billed.invoice_id,
    balances.valid_from,
    coalesce(balances.valid_to, date '9999-12-31') as valid_to,
    balances.due_on as late_since
  from {{ ref('int_invoice_balances') }} as balances
  join billed using (invoice_id)
  where balances.unpaid_minor > 0
  union all
  select
    past_due.subscription_item_id, null as invoice_id, past_due.valid_from, past_due.valid_to,
    max(first_days.late_since) as late_since
  from past_due
  join first_days
    on first_days.subscription_item_id = past_due.subscription_item_id
    and first_days.late_since <= past_due.valid_from
  group by past_due.subscription_item_id, past_due.valid_from, past_due.valid_to
),
-- what is paid in part stays late
debts as (
  select *, max(valid_to) over (partition by subscription_item_id, invoice_id, late_since) as owed_until
  from owed
),
late as (
  select subscription_item_id, greatest(valid_from, late_since + policy.days_in_mrr + 1) as late_from, valid_to as late_to
  from debts
  cross join policy
  cross join build
  where owed_until > late_since + policy.grace_days + 1
    and valid_to > late_since + policy.days_in_mrr + 1
    and late_since + policy.grace_days + 1 <= build.as_of
),
items as (
  select
    -- use is as late as the item that it is of
    case (select "usage" from {{ ref('stg_meta__policy') }})
      when 'in_3m_mean' then regexp_replace(subscription_item_id, '/usage$', '')
      else subscription_item_id
    end as subscription_item_id,
    valid_from, coalesce(valid_to, date '9999-12-31') as valid_to, counts_in_mrr, why_not
  from {{ ref('int_item_versions') }}
  where status in ('active', 'past_due', 'renewal_pending')
)
select items.subscription_item_id, items.valid_from, 'in MRR while late' as wrong
from items
semi join late
  on late.subscription_item_id = items.subscription_item_id
  and late.late_from < items.valid_to
  and late.late_to > items.valid_from
where items.counts_in_mrr
union all
select items.subscription_item_id, items.valid_from, 'out of MRR while not late' as wrong
from items
anti join late
  on late.subscription_item_id = items.subscription_item_id
  and late.late_from <= items.valid_from
  and late.late_to >= items.valid_to
where items.why_not = 'past_due'
