{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'reads': {'intermediate.int_item_versions': 'as touched'},
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
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
    earlier.billing_interval is distinct from later.billing_interval
      or earlier.interval_count is distinct from later.interval_count as is_interval_change,
    earlier.amount_e12 as amount_0,
    later.amount_e12 as amount_1,
    earlier.quantity as quantity_0,
    later.quantity as quantity_1,
    later.list_mrr as list_mrr_1,
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
at_quantity as (
  select
    *,
    mrr_0 > 0 and mrr_1 > 0 and mrr_0 <> mrr_1 as is_stay,
    case
      when not is_stay then null
      when quantity_0 = quantity_1 or quantity_0 = 0 then amount_0
      else
        (2 * (amount_0 // 1000000) * cast(quantity_1 * 1000000 as hugeint) + cast(quantity_0 * 1000000 as hugeint))
        // (2 * cast(quantity_0 * 1000000 as hugeint)) * 1000000
    end as amount_at_quantity
  from changes
),
effects as (
  select
    *,
    case
      when not is_stay or amount_at_quantity = amount_0 then 0
      when discounts_0 is null then {{ monthly_rate('amount_at_quantity', 'factor_n_0', 'factor_d_0') }} - mrr_0
      else {{ monthly_rate(discounted('amount_at_quantity', 'discounts_0'), 'factor_n_0', 'factor_d_0') }} - mrr_0
    end as by_quantity,
    case
      when not is_stay then 0
      when discounts_0 is null then list_mrr_1 - mrr_0
      else {{ monthly_rate(discounted('amount_1', 'discounts_0'), 'factor_n_1', 'factor_d_1') }} - mrr_0
    end - by_quantity as by_price,
    case when is_stay then mrr_1 - mrr_0 - by_quantity - by_price else 0 end as by_discount
  from at_quantity
),
-- the parts of each change: of MRR, then of the two measures beside it
parts as (
  select
    *,
    unnest(list_concat(
      case when cell_change is not null and mrr_0 > 0 then ['left', 'entered'] else [] end,
      case
        when mrr_0 = mrr_1 then []
        when mrr_0 = 0 then ['begin']
        when mrr_1 = 0 then ['end']
        else list_concat(
          case when by_quantity <> 0 then ['quantity'] else [] end,
          case when by_price <> 0 then ['price'] else [] end,
          case when by_discount <> 0 then ['discount'] else [] end
        )
      end,
      {% for measure in ['trial', 'discount'] -%}
      case
        when {{ measure }}_0 = 0 and {{ measure }}_1 = 0 then []
        when cell_change is null or {{ measure }}_0 = 0
          then case when {{ measure }}_0 <> {{ measure }}_1 then ['{{ measure }}_changed'] else [] end
        when {{ measure }}_1 > 0 then ['{{ measure }}_left', '{{ measure }}_entered']
        else ['{{ measure }}_left']
      end{{ ',' if not loop.last }}
      {% endfor -%}
    )) as part
  from effects
),
told as (
  select
    *,
    case
      when starts_with(part, 'trial_') then 'trial'
      when starts_with(part, 'discount_') then 'discount'
      else 'mrr'
    end as measure,
    part in ('left', 'trial_left', 'discount_left') as is_before,
    case
      when part in ('begin', 'end', 'quantity', 'price', 'discount') then 'movement'
      when part in ('left', 'entered') then part
      else 'other'
    end as kind,
    case part
      when 'begin' then case
        when not has_earlier or why_not_0 = 'canceled' then 'started'
        when why_not_0 = 'trial' then 'trial_converted'
        when why_not_0 = 'paused' then 'pause'
        when why_not_0 in ('past_due', 'unpaid', 'incomplete') then 'recovered'
        when why_not_0 = 'fully_discounted' then 'discount_end'
        else 'price_change'
      end
      when 'end' then case
        when has_later and why_not_1 = 'paused' then 'pause'
        when has_later and why_not_1 in ('past_due', 'unpaid', 'incomplete') then 'past_due'
        when has_later and why_not_1 = 'fully_discounted' then 'fully_discounted'
        when has_later and why_not_1 in ('no_amount', 'one_time') then 'price_change'
        when end_cause in ('merge', 'migration') then end_cause
        else 'canceled'
      end
      when 'quantity' then 'quantity'
      when 'price' then case
        when is_plan_change then 'plan_change'
        when is_interval_change then 'interval_change'
        else 'price_change'
      end
      when 'discount' then case when by_discount < 0 then 'discount_start' else 'discount_end' end
      when 'trial_changed' then case when trial_0 = 0 then 'started' when trial_1 = 0 then 'ended' else 'changed' end
      when 'discount_changed'
        then case when discount_0 = 0 then 'started' when discount_1 = 0 then 'ended' else 'changed' end
      else case when is_before then 'left_' else 'entered_' end || cell_change
    end as reason,
    case part
      when 'left' then -mrr_0
      when 'entered' then mrr_0
      when 'begin' then mrr_1
      when 'end' then -mrr_0
      when 'quantity' then by_quantity
      when 'price' then by_price
      when 'discount' then by_discount
      when 'trial_changed' then trial_1 - trial_0
      when 'trial_left' then -trial_0
      when 'trial_entered' then trial_1
      when 'discount_changed' then discount_1 - discount_0
      when 'discount_left' then -discount_0
      when 'discount_entered' then discount_1
    end as delta_native
  from parts
)
select
  subscription_item_id,
  changed_on,
  measure,
  kind,
  reason,
  subscription_id,
  case when is_before then customer_0 else customer_1 end as customer_id,
  currency,
  case when is_before then segment_0 else segment_1 end as segment,
  case when is_before then plan_0 else plan_1 end as plan_id,
  case when is_before then channel_0 else channel_1 end as acquisition_channel,
  delta_native::decimal(20, 6) as delta_native,
  case when part in ('begin', 'end', 'quantity') then delta_native else 0 end::decimal(20, 6) as quantity_effect,
  case when part = 'price' then delta_native else 0 end::decimal(20, 6) as price_effect,
  case when part = 'discount' then delta_native else 0 end::decimal(20, 6) as discount_effect,
  case
    when part <> 'end' then null
    when reason = 'past_due' then 'involuntary'
    when reason in ('merge', 'migration') then reason
    when reason = 'canceled' and end_cause = 'involuntary' then 'involuntary'
    else 'voluntary'
  end as cause,
  -- what the item itself does, where it comes from or goes to no MRR
  case part
    when 'begin' then case when keeps_0 then 'resumes' else 'begins' end
    when 'end' then case when keeps_1 then 'rests' else 'ends' end
  end as turn,
  recorded_at
from told
