{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'reads': {'intermediate.int_item_steps': 'as touched', 'intermediate.int_customer_days': 'as touched'},
  'before': [
    'null::varchar as subscription_item_id', 'month', 'measure', 'customer_id', 'category', 'currency', 'segment',
    'plan_id', 'acquisition_channel', 'delta_native', 'delta_booked', 'amount_currency', 'is_scheduled',
  ],
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
-- The log: every step of an item with the category of its customer's day.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
policy as (
  select late_renewal_days, new_after_gap_days, second_subscription, fx_movements, reporting_currency from {{ ref('stg_meta__policy') }}
),
-- days without MRR before an item's own return
item_ends as (
  select subscription_item_id, changed_on as ended_on
  from {{ ref('int_item_steps') }}
  where measure = 'mrr' and cause is not null
),
item_gaps as (
  select steps.subscription_item_id, steps.changed_on, steps.changed_on - max(item_ends.ended_on) as gap_days
  from {{ ref('int_item_steps') }} as steps
  join item_ends
    on item_ends.subscription_item_id = steps.subscription_item_id
    and item_ends.ended_on < steps.changed_on
  where steps.reason = 'started' and steps.measure = 'mrr'
  group by steps.subscription_item_id, steps.changed_on
),
-- where a further subscription is new: the items of a customer that had MRR before they begin
returning_items as (
  select steps.subscription_item_id, steps.customer_id, steps.changed_on, steps.changed_on - max(earlier.changed_on) as gap_days
  from {{ ref('int_item_steps') }} as steps
  join {{ ref('int_item_steps') }} as earlier
    on earlier.subscription_item_id = steps.subscription_item_id
    and earlier.customer_id = steps.customer_id
    and earlier.changed_on < steps.changed_on
    and earlier.turn in ('ends', 'rests')
  where steps.turn = 'begins'
    and (select second_subscription from policy) = 'new_per_item'
  group by steps.subscription_item_id, steps.customer_id, steps.changed_on
),
-- where a movement stands at the rate of its own day
day_rates as (
  select
    days.currency,
    days.changed_on,
    policy.reporting_currency as amount_currency,
    arg_max(rates.rate, rates.rate_on) as rate
  from (select distinct currency, changed_on from {{ ref('int_item_steps') }}) as days
  join {{ ref('stg_billing__fx_rates') }} as rates
    on rates.from_currency = days.currency
    and rates.rate_on <= days.changed_on
  join policy on rates.to_currency = policy.reporting_currency
  where policy.fx_movements = 'daily_rate'
    and rates.rate_set = 'daily'
    and days.currency <> policy.reporting_currency
  group by days.currency, days.changed_on, policy.reporting_currency
),
-- once a customer's day nets to nothing, its rows only move MRR between cells
named as (
  select
    steps.* exclude (reason, kind),
    rates.amount_currency,
    rates.constant_rate,
    {{ snapshot_month('steps.changed_on') }} as month,
    steps.changed_on > build.as_of as is_scheduled,
    case
      when steps.reason <> 'started' or steps.measure <> 'mrr' then steps.reason
      when days.category = 'new' then 'first_subscription'
      when coalesce(item_gaps.gap_days, case when days.opening + days.transferred = 0 then days.changed_on - days.last_zero_on end)
        <= policy.late_renewal_days then 'late_renewal'
      when days.category = 'reactivation' then 'returned'
      when plans.is_add_on then 'add_on'
      else 'second_subscription'
    end as reason,
    case
      when steps.measure <> 'mrr' then null
      when steps.kind <> 'movement' then steps.kind
      when policy.second_subscription = 'new_per_item' and days.category in ('expansion', 'contraction', 'none')
        then case
          when steps.turn = 'begins' and returning_items.changed_on is null then 'new'
          when steps.turn = 'begins'
            then case when returning_items.gap_days > policy.new_after_gap_days then 'new' else 'reactivation' end
          when steps.turn = 'ends' then 'churn'
          when steps.delta_native > 0 then 'expansion'
          else 'contraction'
        end
      when days.category <> 'none' then days.category
      when steps.delta_native > 0 then 'entered'
      else 'left'
    end as category
  from {{ ref('int_item_steps') }} as steps
  join {{ ref('int_rates') }} as rates using (currency)
  cross join build
  cross join policy
  left join {{ ref('int_customer_days') }} as days
    on days.customer_id = case steps.measure when 'mrr' then steps.customer_id end
    and days.amount_currency = rates.amount_currency
    and days.changed_on = steps.changed_on
  left join item_gaps
    on item_gaps.subscription_item_id = steps.subscription_item_id
    and item_gaps.changed_on = steps.changed_on
  left join returning_items
    on returning_items.subscription_item_id = steps.subscription_item_id
    and returning_items.customer_id = steps.customer_id
    and returning_items.changed_on = steps.changed_on
  left join {{ ref('stg_billing__plans') }} as plans on plans.plan_id = steps.plan_id
)
select
  named.subscription_item_id,
  named.changed_on as movement_on,
  named.reason,
  named.measure,
  named.month,
  named.subscription_id,
  named.customer_id,
  named.category,
  named.currency,
  named.segment,
  named.plan_id,
  named.acquisition_channel,
  named.delta_native,
  (named.delta_native * coalesce(day_rates.rate, booked.opening_rate, named.constant_rate)::decimal(18, 10))::decimal(38, 16) as delta_booked,
  (named.delta_native * named.constant_rate)::decimal(38, 16) as delta_constant,
  named.amount_currency,
  named.quantity_effect,
  named.price_effect,
  named.discount_effect,
  named.cause,
  named.is_scheduled,
  named.recorded_at
from named
left join {{ ref('int_month_rates') }} as booked
  on booked.month = named.month
  and booked.currency = named.currency
left join day_rates
  on day_rates.currency = named.currency
  and day_rates.changed_on = named.changed_on
  and day_rates.amount_currency = named.amount_currency
  and not named.is_scheduled
