-- One row per subscription item, day of a change, measure and part of the change. Consecutive stretches meet on a day;
-- where nothing meets, the item begins from or ends in zero. A running item that changes its cell (customer, segment,
-- plan, channel) is written as left and entered at its old value; the movement stands in the new cell. With another
-- currency or another billed customer the item ends and begins anew.
with meetings as (
  select
    coalesce(later.subscription_item_id, earlier.subscription_item_id) as subscription_item_id,
    coalesce(later.valid_from, earlier.valid_to) as changed_on,
    coalesce(later.subscription_id, earlier.subscription_id) as subscription_id,
    coalesce(later.recorded_at, earlier.recorded_at) as recorded_at,
    earlier.subscription_item_id is not null as has_earlier,
    later.subscription_item_id is not null as has_later,
    coalesce(earlier.mrr, 0) as mrr_0,
    coalesce(later.mrr, 0) as mrr_1,
    coalesce(earlier.trial_mrr, 0) as trial_0,
    coalesce(later.trial_mrr, 0) as trial_1,
    coalesce(earlier.discount_mrr, 0) as discount_0,
    coalesce(later.discount_mrr, 0) as discount_1,
    case
      when earlier.customer_id <> later.customer_id then 'parent'
      when earlier.segment <> later.segment then 'segment'
      when earlier.plan_id <> later.plan_id then 'plan'
      when earlier.acquisition_channel <> later.acquisition_channel then 'channel'
    end as cell_change,
    coalesce(earlier.customer_id, later.customer_id) as customer_0,
    coalesce(later.customer_id, earlier.customer_id) as customer_1,
    coalesce(later.currency, earlier.currency) as currency,
    coalesce(earlier.segment, later.segment) as segment_0,
    coalesce(later.segment, earlier.segment) as segment_1,
    coalesce(earlier.plan_id, later.plan_id) as plan_0,
    coalesce(later.plan_id, earlier.plan_id) as plan_1,
    coalesce(earlier.acquisition_channel, later.acquisition_channel) as channel_0,
    coalesce(later.acquisition_channel, earlier.acquisition_channel) as channel_1,
    earlier.keeps_customer as keeps_0,
    later.keeps_customer as keeps_1,
    earlier.why_not as why_not_0,
    later.why_not as why_not_1,
    coalesce(case when later.why_not = 'canceled' then later.end_cause end, earlier.end_cause) as end_cause,
    earlier.plan_id is distinct from later.plan_id as is_plan_change,
    (earlier.billing_interval, earlier.interval_count) is distinct from (later.billing_interval, later.interval_count)
      as is_interval_change,
    earlier.amount_e12 as amount_0,
    later.amount_e12 as amount_1,
    cast(earlier.quantity * 1000000 as hugeint) as quantity_0,
    cast(later.quantity * 1000000 as hugeint) as quantity_1,
    earlier.discounts as discounts_0,
    earlier.factor_n as factor_n_0,
    earlier.factor_d as factor_d_0,
    later.factor_n as factor_n_1,
    later.factor_d as factor_d_1
  from {{ ref('int_item_versions') }} as earlier
  full join {{ ref('int_item_versions') }} as later
    on later.subscription_item_id = earlier.subscription_item_id
    and later.valid_from = earlier.valid_to
    and later.currency = earlier.currency
    and later.billed_customer_id = earlier.billed_customer_id
),
changes as (
  select * from meetings
  where changed_on is not null
    and (
      mrr_0 <> mrr_1 or trial_0 <> trial_1 or discount_0 <> discount_1
      or cell_change is not null and (mrr_0 > 0 or trial_0 > 0 or discount_0 > 0)
    )
),
-- one valuation at three points: quantity first, then price, then discounts
stays as (
  select
    *,
    case
      when quantity_0 = quantity_1 or quantity_0 = 0 then amount_0
      else
        (2 * (amount_0 // 1000000) * quantity_1 + quantity_0) // (2 * quantity_0) * 1000000
    end as amount_at_quantity
  from changes
  where mrr_0 > 0 and mrr_1 > 0 and mrr_0 <> mrr_1
),
effects as (
  select
    *,
    case
      when amount_at_quantity = amount_0 then mrr_0
      when discounts_0 is null then {{ monthly_rate('amount_at_quantity', 'factor_n_0', 'factor_d_0') }}
      else {{ monthly_rate(discounted('amount_at_quantity', 'discounts_0'), 'factor_n_0', 'factor_d_0') }}
    end - mrr_0 as quantity_effect,
    case
      when discounts_0 is null then {{ monthly_rate('amount_1', 'factor_n_1', 'factor_d_1') }}
      else {{ monthly_rate(discounted('amount_1', 'discounts_0'), 'factor_n_1', 'factor_d_1') }}
    end - mrr_0 as quantity_and_price_effect,
    mrr_1 - mrr_0 as whole_effect
  from stays
),
parts as (
  select 'mrr' as measure, 'left' as kind, 0 as side, 'left_' || cell_change as reason, -mrr_0 as delta_native,
    0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where cell_change is not null and mrr_0 > 0
  union all by name
  select 'mrr' as measure, 'entered' as kind, 1 as side, 'entered_' || cell_change as reason, mrr_0 as delta_native,
    0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where cell_change is not null and mrr_0 > 0
  union all by name
  select 'mrr' as measure, 'movement' as kind, 1 as side,
    case
      when not has_earlier or why_not_0 = 'canceled' then 'started'
      when why_not_0 = 'trial' then 'trial_converted'
      when why_not_0 = 'paused' then 'pause'
      when why_not_0 in ('past_due', 'unpaid', 'incomplete') then 'recovered'
      when why_not_0 = 'fully_discounted' then 'discount_end'
      else 'price_change'
    end as reason,
    mrr_1 as delta_native, mrr_1 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where mrr_0 = 0 and mrr_1 > 0
  union all by name
  select 'mrr' as measure, 'movement' as kind, 1 as side,
    case
      when has_later and why_not_1 = 'paused' then 'pause'
      when has_later and why_not_1 in ('past_due', 'unpaid', 'incomplete') then 'past_due'
      when has_later and why_not_1 = 'fully_discounted' then 'fully_discounted'
      when has_later and why_not_1 in ('no_amount', 'one_time') then 'price_change'
      when end_cause in ('merge', 'migration') then end_cause
      else 'canceled'
    end as reason,
    -mrr_0 as delta_native, -mrr_0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where mrr_0 > 0 and mrr_1 = 0
  union all by name
  select 'mrr' as measure, 'movement' as kind, 1 as side, 'quantity' as reason, quantity_effect as delta_native,
    quantity_effect, 0 as price_effect, 0 as discount_effect, effects.* exclude (quantity_effect)
  from effects where quantity_effect <> 0
  union all by name
  select 'mrr' as measure, 'movement' as kind, 1 as side,
    case
      when is_plan_change then 'plan_change'
      when is_interval_change then 'interval_change'
      else 'price_change'
    end as reason,
    quantity_and_price_effect - quantity_effect as delta_native,
    0 as quantity_effect, quantity_and_price_effect - quantity_effect as price_effect, 0 as discount_effect,
    effects.* exclude (quantity_effect)
  from effects where quantity_and_price_effect <> quantity_effect
  union all by name
  select 'mrr' as measure, 'movement' as kind, 1 as side,
    case when whole_effect < quantity_and_price_effect then 'discount_start' else 'discount_end' end as reason,
    whole_effect - quantity_and_price_effect as delta_native,
    0 as quantity_effect, 0 as price_effect, whole_effect - quantity_and_price_effect as discount_effect,
    effects.* exclude (quantity_effect)
  from effects where whole_effect <> quantity_and_price_effect
  -- the two measures beside MRR
  union all by name
  select 'trial' as measure, 'other' as kind, 1 as side,
    case when trial_0 = 0 then 'started' when trial_1 = 0 then 'ended' else 'changed' end as reason,
    trial_1 - trial_0 as delta_native, 0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where trial_0 <> trial_1 and (cell_change is null or trial_0 = 0)
  union all by name
  select 'trial' as measure, 'other' as kind, 0 as side, 'left_' || cell_change as reason,
    -trial_0 as delta_native, 0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where cell_change is not null and trial_0 > 0
  union all by name
  select 'trial' as measure, 'other' as kind, 1 as side, 'entered_' || cell_change as reason,
    trial_1 as delta_native, 0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where cell_change is not null and trial_0 > 0 and trial_1 > 0
  union all by name
  select 'discount' as measure, 'other' as kind, 1 as side,
    case when discount_0 = 0 then 'started' when discount_1 = 0 then 'ended' else 'changed' end as reason,
    discount_1 - discount_0 as delta_native, 0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where discount_0 <> discount_1 and (cell_change is null or discount_0 = 0)
  union all by name
  select 'discount' as measure, 'other' as kind, 0 as side, 'left_' || cell_change as reason,
    -discount_0 as delta_native, 0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where cell_change is not null and discount_0 > 0
  union all by name
  select 'discount' as measure, 'other' as kind, 1 as side, 'entered_' || cell_change as reason,
    discount_1 as delta_native, 0 as quantity_effect, 0 as price_effect, 0 as discount_effect, changes.*
  from changes where cell_change is not null and discount_0 > 0 and discount_1 > 0
)
select
  subscription_item_id,
  changed_on,
  measure,
  kind,
  reason,
  subscription_id,
  case side when 0 then customer_0 else customer_1 end as customer_id,
  currency,
  case side when 0 then segment_0 else segment_1 end as segment,
  case side when 0 then plan_0 else plan_1 end as plan_id,
  case side when 0 then channel_0 else channel_1 end as acquisition_channel,
  delta_native::decimal(20, 6) as delta_native,
  quantity_effect::decimal(20, 6) as quantity_effect,
  price_effect::decimal(20, 6) as price_effect,
  discount_effect::decimal(20, 6) as discount_effect,
  case
    when measure <> 'mrr' or mrr_0 = 0 or mrr_1 > 0 or kind <> 'movement' then null
    when reason = 'past_due' then 'involuntary'
    when reason in ('merge', 'migration') then reason
    when reason = 'canceled' and end_cause = 'involuntary' then 'involuntary'
    else 'voluntary'
  end as cause,
  -- what the item itself does, where it comes from or goes to no MRR
  case
    when measure <> 'mrr' or kind <> 'movement' then null
    when mrr_0 = 0 then case when keeps_0 then 'resumes' else 'begins' end
    when mrr_1 = 0 then case when keeps_1 then 'rests' else 'ends' end
  end as turn,
  recorded_at
from parts
