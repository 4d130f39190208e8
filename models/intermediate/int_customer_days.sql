-- One row per customer, amount currency and day on which its MRR or its cell changes (constant rates): the balance before
-- and after, and the category of the day. What moved from or to another customer comes first and is no movement.
with steps as (
  select
    steps.customer_id,
    rates.amount_currency,
    steps.changed_on,
    sum(case when steps.kind = 'movement' then steps.delta_native * rates.constant_rate else 0 end)::decimal(38, 16)
      as delta,
    sum(case when steps.kind <> 'movement' then steps.delta_native * rates.constant_rate else 0 end)::decimal(38, 16)
      as transferred
  from {{ ref('int_item_steps') }} as steps
  join {{ ref('int_rates') }} as rates using (currency)
  where steps.measure = 'mrr'
  group by steps.customer_id, rates.amount_currency, steps.changed_on
),
balances as (
  select
    *,
    sum(delta + transferred) over by_day as closing
  from steps
  window by_day as (partition by customer_id, amount_currency order by changed_on)
),
states as (
  select
    *,
    closing - delta - transferred as opening,
    case when closing = 0 then changed_on end as zero_on,
    case when closing > 0 and closing - delta - transferred = 0 then changed_on end as paying_from
  from balances
),
histories as (
  select
    *,
    coalesce(max(closing) over earlier_days > 0, false) as had_mrr_before,
    max(zero_on) over earlier_days as last_zero_on,
    max(paying_from) over to_this_day as last_paying_from
  from states
  window
    earlier_days as (
      partition by customer_id, amount_currency order by changed_on rows between unbounded preceding and 1 preceding
    ),
    to_this_day as (partition by customer_id, amount_currency order by changed_on)
)
select
  customer_id,
  amount_currency,
  changed_on,
  {{ snapshot_month('changed_on') }} as month,
  opening::decimal(38, 16) as opening,
  transferred,
  delta,
  closing::decimal(38, 16) as closing,
  had_mrr_before,
  case when opening = 0 then last_zero_on end as last_zero_on,
  case when closing > 0 then last_paying_from end as paying_since_on,
  {{ movement_category('opening + transferred', 'closing', 'had_mrr_before', 'changed_on - last_zero_on') }} as category
from histories
