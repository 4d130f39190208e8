{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'reads': {'intermediate.int_item_versions': 'as touched', 'intermediate.int_item_steps': 'as touched'},
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
-- One row per customer, amount currency and day on which its MRR or its cell changes (constant rates): the balance before
-- and after, and the category of the day. What moved from or to another customer comes first and is no movement.
-- A customer that has paid is held at MRR 0 while an item keeps it (policies pause and zero_mrr; by default none does).
-- opens_month: it is the customer's first such day of the month; next_changed_on: the next one, scheduled ones included.
with keepers as (
  select
    items.customer_id,
    rates.amount_currency,
    items.valid_from,
    items.valid_to,
    later.customer_id <> items.customer_id as is_moved,
    case
      when later.customer_id <> items.customer_id then 'merge'
      when later.why_not = 'past_due' then 'involuntary'
      when coalesce(later.why_not, 'canceled') = 'canceled'
        then coalesce(later.end_cause, items.end_cause, 'voluntary')
      else 'voluntary'
    end as cause
  from {{ ref('int_item_versions') }} as items
  join {{ ref('int_rates') }} as rates using (currency)
  left join {{ ref('int_item_versions') }} as later
    on later.subscription_item_id = items.subscription_item_id
    and later.valid_from = items.valid_to
    and later.currency = items.currency
    and later.billed_customer_id = items.billed_customer_id
  where items.keeps_customer
),
changes as (
  select
    steps.customer_id,
    rates.amount_currency,
    steps.changed_on,
    case when steps.kind = 'movement' then steps.delta_native * rates.constant_rate else 0 end as delta,
    case when steps.kind <> 'movement' then steps.delta_native * rates.constant_rate else 0 end as transferred,
    true as is_step,
    0 as keepers_change,
    0 as keepers_moved,
    null as cause
  from {{ ref('int_item_steps') }} as steps
  join {{ ref('int_rates') }} as rates using (currency)
  where steps.measure = 'mrr'
  union all
  select
    customer_id, amount_currency, valid_from as changed_on, 0 as delta, 0 as transferred, false as is_step,
    1 as keepers_change, 0 as keepers_moved, null as cause
  from keepers
  union all
  select
    customer_id, amount_currency, valid_to as changed_on, 0 as delta, 0 as transferred, false as is_step,
    -1 as keepers_change, case when is_moved then -1 else 0 end as keepers_moved, cause
  from keepers
  where valid_to is not null
),
steps as (
  select
    customer_id,
    amount_currency,
    changed_on,
    sum(delta)::decimal(38, 16) as delta,
    sum(transferred)::decimal(38, 16) as transferred,
    bool_or(is_step) as is_step,
    sum(keepers_change) as keepers_change,
    sum(keepers_moved) as keepers_moved,
    max(cause) as cause
  from changes
  group by customer_id, amount_currency, changed_on
),
balances as (
  select
    *,
    sum(delta + transferred) over by_day as closing
  from steps
  window by_day as (partition by customer_id, amount_currency order by changed_on)
),
-- held: an item keeps the customer, and it has paid since it was last gone
kept_days as (
  select
    *,
    sum(keepers_change) over by_day as keepers,
    closing - delta - transferred as opening
  from balances
  semi join keepers using (customer_id, amount_currency)
  window by_day as (partition by customer_id, amount_currency order by changed_on)
),
presences as (
  select
    *,
    max(case when closing > 0 or opening + transferred > 0 then changed_on end) over by_day as last_paid_on,
    max(case when closing = 0 and keepers = 0 then changed_on end) over by_day as last_gone_on
  from kept_days
  window by_day as (partition by customer_id, amount_currency order by changed_on)
),
held_days as (
  select
    *,
    closing = 0 and keepers > 0 and coalesce(last_paid_on > coalesce(last_gone_on, date '0001-01-01'), false) as closing_held
  from presences
),
holdings as (
  select
    customer_id,
    amount_currency,
    changed_on,
    lag(closing_held, 1, false) over by_day as opening_held,
    closing_held,
    -- what remains before the movements of the day, once transfers are out
    (opening > 0 or lag(closing_held, 1, false) over by_day) and keepers - keepers_change + keepers_moved > 0 as start_held
  from held_days
  window by_day as (partition by customer_id, amount_currency order by changed_on)
),
states as (
  select
    balances.*,
    {{ snapshot_month('balances.changed_on') }} as month,
    balances.closing - balances.delta - balances.transferred as opening,
    coalesce(holdings.opening_held, false) as opening_held,
    coalesce(holdings.start_held, false) as start_held,
    coalesce(holdings.closing_held, false) as closing_held
  from balances
  left join holdings using (customer_id, amount_currency, changed_on)
  where balances.is_step or holdings.opening_held or holdings.closing_held
),
histories as (
  select
    *,
    coalesce(max(closing) over earlier_days > 0, false) as had_mrr_before,
    max(case when closing = 0 and not closing_held then changed_on end) over earlier_days as last_zero_on,
    max(
      case when (closing > 0 or closing_held) and opening = 0 and not opening_held then changed_on end
    ) over to_this_day as last_paying_from,
    lag(month) over to_this_day is distinct from month as opens_month,
    lead(changed_on) over to_this_day as next_changed_on,
    lead(month) over to_this_day as next_month
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
  month,
  opens_month,
  next_changed_on,
  next_month,
  opening::decimal(38, 16) as opening,
  transferred,
  delta,
  closing::decimal(38, 16) as closing,
  opening_held,
  start_held,
  closing_held,
  had_mrr_before,
  case when opening = 0 and not opening_held then last_zero_on end as last_zero_on,
  case when closing > 0 or closing_held then last_paying_from end as paying_since_on,
  {{ movement_category('opening + transferred', 'closing', 'start_held', 'closing_held', 'had_mrr_before',
    'changed_on - last_zero_on') }} as category,
  -- why a customer held at 0 is gone: no step of MRR can tell
  case when opening = 0 and opening_held and closing = 0 and not closing_held then cause end as held_cause
from histories
