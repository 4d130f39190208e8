-- An item is in MRR exactly while it is served against pay: by its status as the policy reads it, from one minor unit a
-- month on, and not out for lateness. A running trial is in its own measure instead.
select items.subscription_item_id, items.valid_from, items.status, items.net_mrr, items.why_not, items.mrr, items.trial_mrr
from {{ ref('int_item_versions') }} as items
cross join {{ ref('stg_meta__policy') }} as policy
where items.counts_in_mrr <> (
    items.net_mrr >= 1
    and items.why_not is distinct from 'past_due'
    and (
      items.status in ('active', 'past_due', 'renewal_pending')
      or items.status = 'trialing' and policy.trials = 'in'
      or items.status = 'paused' and policy.pause = 'pause_ignored'
      or items.status in ('unpaid', 'incomplete') and policy.unpaid_incomplete = 'in'
    )
  )
  or (items.trial_mrr > 0) <> (items.status = 'trialing' and policy.trials = 'out' and items.net_mrr >= 1)
