-- Whoever leaves the MRR bridge has no live subscription from that day on (an end, a return within 30 days, a merge), or
-- has one that is paused or free: int_account_outcomes knows each of them.
select days.customer_id, days.changed_on
from {{ ref('int_customer_days') }} as days
where days.category = 'churn'
  and days.changed_on <= (select as_of from {{ ref('stg_meta__build') }})
  and not exists (
    select 1
    from {{ ref('int_account_outcomes') }} as outcomes
    where outcomes.customer_id = days.customer_id
      and outcomes.live_from < days.changed_on
      and outcomes.live_to >= days.changed_on
  )
