{{ config(materialized='in_parts', meta={
  'sums': ['month', 'currency', 'segment', 'plan_id', 'acquisition_channel'],
  'reads': {
    'marts.fct_mrr_movements': 'as touched',
    'marts.fct_customer_month_changes': 'as touched',
    'intermediate.int_item_steps': '1 = 0',
  },
}) }}
-- depends_on: {{ ref('stg_meta__increment') }}
-- One row per month, currency, segment, plan and channel with a change: its sums, and the customers that come and go.
-- Movements carry the one category of their customer and month; what a customer without a category moved between cells
-- stands as entered and left. row_count is the number of rows behind the sums: a cell without any has no row.
with build as (
  select as_of_month from {{ ref('stg_meta__build') }}
),
policy as (
  select month_netting, second_subscription, new_after_gap_days from {{ ref('stg_meta__policy') }}
),
-- where a further subscription is new, the months of an item are netted like those of a customer
item_changes as (
  select
    subscription_item_id,
    customer_id,
    currency,
    {{ snapshot_month('changed_on') }} as month,
    sum(delta_native) as change,
    sum(case when kind = 'movement' then delta_native else 0 end) as delta,
    arg_min(turn, changed_on) as first_turn,
    arg_max(turn, changed_on) as last_turn,
    min(changed_on) filter (where turn in ('begins', 'resumes')) as first_begun_on,
    max(changed_on) filter (where turn in ('ends', 'rests')) as last_ended_on
  from {{ ref('int_item_steps') }}
  where measure = 'mrr'
    and (select second_subscription = 'new_per_item' and month_netting = 'one_category' from policy)
  group by subscription_item_id, customer_id, currency, month
),
item_balances as (
  select
    *,
    sum(change) over by_month as closing,
    lag(month) over by_month is not null as had_mrr_before,
    first_begun_on - max(last_ended_on) over (
      by_month rows between unbounded preceding and 1 preceding
    ) as gap_days
  from item_changes
  window by_month as (partition by subscription_item_id, customer_id, currency order by month)
),
item_months as (
  select
    subscription_item_id,
    customer_id,
    currency,
    month,
    {{ movement_category('closing - delta', 'closing', "coalesce(first_turn = 'resumes', false)",
      "coalesce(last_turn = 'rests', false)", 'had_mrr_before', 'gap_days') }} as category
  from item_balances
),
movements as (
  select
    movements.*,
    case
      when changes.category in ('expansion', 'contraction', 'none') then coalesce(item_months.category, changes.category)
      else changes.category
    end as month_category
  from {{ ref('fct_mrr_movements') }} as movements
  cross join build
  left join {{ ref('fct_customer_month_changes') }} as changes
    on changes.customer_id = case movements.measure when 'mrr' then movements.customer_id end
    and changes.currency = movements.amount_currency
    and changes.month = movements.month
  left join item_months
    on item_months.subscription_item_id = movements.subscription_item_id
    and item_months.customer_id = case movements.measure when 'mrr' then movements.customer_id end
    and item_months.currency = movements.currency
    and item_months.month = movements.month
  where not movements.is_scheduled
    and movements.month <= build.as_of_month
),
headlined as (
  select
    movements.* exclude (category),
    case
      when measure <> 'mrr' then measure
      when category in ('left', 'entered') then category
      when (select month_netting from policy) = 'gross_events' then category
      else month_category
    end as category
  from movements
),
-- of customers without a category only the difference between cells is shown
netted as (
  select
    month, currency, amount_currency, segment, plan_id, acquisition_channel, category,
    sum(delta_native) as delta_native,
    sum(delta_booked) as delta_booked,
    count(*) as row_count
  from headlined
  where category <> 'none'
  group by month, currency, amount_currency, segment, plan_id, acquisition_channel, category
  union all
  select
    month, currency, amount_currency, segment, plan_id, acquisition_channel,
    case when sum(delta_native) > 0 then 'entered' else 'left' end as category,
    sum(delta_native) as delta_native,
    sum(delta_booked) as delta_booked,
    count(*) as row_count
  from headlined
  where category = 'none'
  group by customer_id, month, currency, amount_currency, segment, plan_id, acquisition_channel
),
changed_cells as (
  select
    month, currency, segment, plan_id, acquisition_channel,
    sum(delta_native) filter (where category not in ('trial', 'discount')) as net_change,
    sum(delta_native) filter (where category = 'new') as new_mrr,
    sum(delta_native) filter (where category = 'expansion') as expansion_mrr,
    sum(delta_native) filter (where category = 'contraction') as contraction_mrr,
    sum(delta_native) filter (where category = 'churn') as churn_mrr,
    sum(delta_native) filter (where category = 'reactivation') as reactivation_mrr,
    sum(delta_native) filter (where category = 'entered') as entered_mrr,
    sum(delta_native) filter (where category = 'left') as left_mrr,
    {% for part in ['new', 'expansion', 'contraction', 'churn', 'reactivation', 'entered', 'left'] -%}
    sum(delta_booked) filter (where category = '{{ part }}') as {{ part }}_booked,
    {% endfor -%}
    sum(delta_booked) filter (where category not in ('trial', 'discount')) as net_booked,
    sum(delta_native) filter (where category = 'trial') as trial_change,
    sum(delta_native) filter (where category = 'discount') as discount_change,
    sum(row_count) as cell_rows
  from netted
  group by month, currency, segment, plan_id, acquisition_channel
),
customer_states as (
  select
    *,
    opening_mrr > 0 or opening_held as is_there_before,
    closing_mrr > 0 or closing_held as is_there_after,
    (opening_currency, opening_segment, opening_plan_id, opening_channel)
    is distinct from (native_currency, segment, plan_id, acquisition_channel) as is_elsewhere
  from {{ ref('fct_customer_month_changes') }}
),
customer_changes as (
  -- a customer leaves the cell of its opening and appears in the cell of its close
  select
    month,
    opening_currency as currency, opening_segment as segment, opening_plan_id as plan_id,
    opening_channel as acquisition_channel,
    -1 as change,
    case when not is_there_after and category = 'churn' then 'churned' else 'left' end as role
  from customer_states
  where is_there_before
    and (not is_there_after or is_elsewhere)
  union all
  select
    month,
    native_currency as currency, segment, plan_id, acquisition_channel,
    1 as change,
    case when not is_there_before and category in ('new', 'reactivation') then category else 'entered' end as role
  from customer_states
  where is_there_after
    and (not is_there_before or is_elsewhere)
  union all
  select
    month, native_currency as currency, segment, plan_id, acquisition_channel, 0 as change,
    case when joined_and_left then 'joined_and_left' else category end as role
  from customer_states
  where joined_and_left or category in ('expansion', 'contraction')
),
changed_customers as (
  select
    month, currency, segment, plan_id, acquisition_channel,
    sum(change)::bigint as customers_change,
    count(*) filter (where role = 'new') as new_customers,
    count(*) filter (where role = 'reactivation') as reactivated_customers,
    count(*) filter (where role = 'churned') as churned_customers,
    count(*) filter (where role = 'entered') as entered_customers,
    count(*) filter (where role = 'left') as left_customers,
    count(*) filter (where role = 'expansion') as expanded_customers,
    count(*) filter (where role = 'contraction') as contracted_customers,
    count(*) filter (where role = 'joined_and_left') as joined_and_left_customers,
    count(*) as customer_rows
  from customer_changes
  group by month, currency, segment, plan_id, acquisition_channel
),
changes as (
  select
    month,
    currency,
    segment,
    plan_id,
    acquisition_channel,
    changed_cells.* exclude (month, currency, segment, plan_id, acquisition_channel, cell_rows),
    changed_customers.* exclude (month, currency, segment, plan_id, acquisition_channel, customer_rows),
    (coalesce(cell_rows, 0) + coalesce(customer_rows, 0))::bigint as row_count
  from changed_cells
  full join changed_customers using (month, currency, segment, plan_id, acquisition_channel)
)
select
  month, currency, segment, plan_id, acquisition_channel,
  coalesce(columns(* exclude (month, currency, segment, plan_id, acquisition_channel)), 0)
from changes
