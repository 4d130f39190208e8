-- What the log calls a movement is what happened to its item: the item's states before and after that day say so, in both
-- directions, for reasons and causes. An effect stands only where its own quantity, price or discount changed.
with movements as (
  select * from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr'
    and reason not like 'left\_%' escape '\'
    and reason not like 'entered\_%' escape '\'
),
met as (
  select
    movements.*,
    -- in another currency or for another billed customer an item ends and begins anew; null where it only begins or ends
    before.currency = after.currency and before.billed_customer_id = after.billed_customer_id as goes_on,
    coalesce(before.counts_in_mrr, false) as paid_before,
    coalesce(after.counts_in_mrr, false) as pays_after,
    before.why_not as why_not_before,
    after.why_not as why_not_after,
    coalesce(case when after.why_not = 'canceled' then after.end_cause end, before.end_cause) as end_cause,
    before.mrr as mrr_before,
    before.quantity as quantity_before,
    after.quantity as quantity_after,
    before.plan_id is distinct from after.plan_id as is_other_plan,
    (before.billing_interval, before.interval_count) is distinct from (after.billing_interval, after.interval_count)
      as is_other_interval,
    before.amount_e12 * after.quantity is distinct from after.amount_e12 * before.quantity
      or (before.plan_id, before.factor_n, before.factor_d) is distinct from (after.plan_id, after.factor_n, after.factor_d)
      as is_other_price,
    before.discounts is distinct from after.discounts as has_other_discounts,
    before.discounts is null as is_undiscounted
  from movements
  left join {{ ref('int_item_versions') }} as before
    on before.subscription_item_id = movements.subscription_item_id
    and before.valid_to = movements.movement_on
  left join {{ ref('int_item_versions') }} as after
    on after.subscription_item_id = movements.subscription_item_id
    and after.valid_from = movements.movement_on
),
judged as (
  select
    *,
    paid_before and not pays_after as stops,
    not paid_before and pays_after as starts,
    paid_before and pays_after as stays
  from met
  where coalesce(goes_on, true)
),
last_days as (
  select judged.subscription_item_id, judged.movement_on, max(earlier.valid_to) as ended_on
  from judged
  join {{ ref('int_item_versions') }} as earlier
    on earlier.subscription_item_id = judged.subscription_item_id
    and earlier.valid_to < judged.movement_on
    and earlier.counts_in_mrr
  where judged.starts
    and coalesce(judged.why_not_before, 'canceled') = 'canceled'
  group by judged.subscription_item_id, judged.movement_on
)
select subscription_item_id, movement_on, reason, cause, 'reason' as wrong
from judged
where (reason = 'pause')
    is distinct from (stops and coalesce(why_not_after = 'paused', false) or starts and coalesce(why_not_before = 'paused', false))
  or (reason = 'past_due')
    <> (stops and coalesce(why_not_after in ('past_due', 'unpaid', 'incomplete'), false))
  or (reason = 'recovered')
    <> (starts and coalesce(why_not_before in ('past_due', 'unpaid', 'incomplete'), false))
  or (reason = 'trial_converted') <> (starts and coalesce(why_not_before = 'trial', false))
  or (reason = 'fully_discounted') <> (stops and coalesce(why_not_after = 'fully_discounted', false))
  or reason in ('canceled', 'merge', 'migration')
    and not (stops and (coalesce(end_cause, '') in ('merge', 'migration')) = (reason <> 'canceled'))
  or reason in ('merge', 'migration') and reason <> end_cause
  or reason = 'quantity' and not (stays and quantity_before <> quantity_after)
  or reason = 'plan_change' and not (stays and is_other_plan)
  or reason = 'interval_change' and not (stays and is_other_interval and not is_other_plan)
  or reason = 'price_change' and stays and (is_other_plan or is_other_interval)
  or reason = 'discount_start' and not (stays and has_other_discounts and delta_native < 0)
  or reason = 'discount_end' and stays and not (has_other_discounts and delta_native > 0)
  or reason in ('first_subscription', 'late_renewal', 'returned', 'add_on', 'second_subscription')
    and not (starts and coalesce(why_not_before, 'canceled') = 'canceled')
  or reason = 'first_subscription' and category <> 'new'
  or reason = 'returned' and category <> 'reactivation'
union all
select subscription_item_id, movement_on, reason, cause, 'cause' as wrong
from judged
where (cause is not null) <> stops
  or stops
    and cause <> case
      when reason = 'past_due' then 'involuntary'
      when reason in ('merge', 'migration') then reason
      when reason = 'canceled' and coalesce(end_cause, '') = 'involuntary' then 'involuntary'
      else 'voluntary'
    end
union all
select subscription_item_id, movement_on, reason, cause, 'effect' as wrong
from judged
where stays
  and (
    quantity_effect <> 0 and quantity_before = quantity_after
    or price_effect <> 0 and not is_other_price
    or discount_effect <> 0 and not has_other_discounts
    -- without discounts the rate grows with the quantity; the amount in between is whole to a millionth
    or reason = 'quantity' and is_undiscounted
      and abs(delta_native::double - mrr_before::double * (quantity_after / quantity_before - 1)) > 0.01
  )
union all
select subscription_item_id, movement_on, reason, cause, 'new beginning' as wrong
from met
where not goes_on
  and case
    when delta_native < 0 then reason not in ('canceled', 'merge', 'migration') or cause is null
    else reason not in ('first_subscription', 'late_renewal', 'returned', 'add_on', 'second_subscription')
  end
union all
select subscription_item_id, movement_on, movements.reason, movements.cause, 'days between' as wrong
from movements
join last_days using (subscription_item_id, movement_on)
cross join {{ ref('stg_meta__policy') }} as policy
where movements.delta_native > 0
  and movements.category <> 'new'
  and (movements.reason = 'late_renewal') <> (movements.movement_on - last_days.ended_on <= policy.late_renewal_days)
