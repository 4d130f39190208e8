{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'reads': {
    'intermediate.int_customer_days': 'as touched',
    'intermediate.int_customer_month_cells': 'as touched',
    'marts.fct_mrr_movements': 'as touched',
  },
  'before': [
    'customer_id', 'month', 'currency', 'opening_mrr', 'closing_mrr', 'opening_held', 'closing_held', 'category',
    'joined_and_left', 'opening_segment', 'opening_plan_id', 'opening_channel', 'opening_currency', 'segment',
    'plan_id', 'acquisition_channel', 'native_currency',
  ],
  'stays': [
    "update marts.fct_customer_month_changes
    set until_month = (select as_of_month + interval 1 month from staging.stg_meta__build)
    where until_month = (select since_month + interval 1 month from staging.stg_meta__increment)
      and (select as_of_month > since_month from staging.stg_meta__build, staging.stg_meta__increment)",
    "update marts.fct_customer_month_changes
    set is_provisional = false
    where is_provisional and month in (select month from intermediate.int_months where not is_provisional)",
  ],
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
-- The days of a month netted: opening against closing gives the one category a customer has in reports.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
known_days as (
  select
    days.* exclude (next_month),
    case
      when days.next_changed_on <= build.as_of and days.next_month <= build.as_of_month then days.next_month
    end as next_month
  from {{ ref('int_customer_days') }} as days
  cross join build
  where days.changed_on <= build.as_of
    and days.month <= build.as_of_month
),
days as (
  select *, not opens_month or coalesce(next_month = month, false) as shares_month
  from known_days
),
months as (
  -- most months of a customer have one day, which tells all
  select
    customer_id,
    amount_currency,
    month,
    next_month,
    opening,
    closing,
    transferred,
    opening_held,
    closing_held,
    start_held,
    (opening > 0 or opening_held) and opening + transferred = 0 and not start_held as is_moved_away,
    held_cause,
    had_mrr_before,
    last_zero_on,
    case when closing > 0 then changed_on end as first_paying_on,
    paying_since_on,
    closing as highest
  from days
  where not shares_month
  union all by name
  select
    customer_id,
    amount_currency,
    month,
    nullif(max(next_month), month) as next_month,
    arg_min(opening, changed_on) as opening,
    arg_max(closing, changed_on) as closing,
    sum(transferred) as transferred,
    arg_min(opening_held, changed_on) as opening_held,
    arg_max(closing_held, changed_on) as closing_held,
    bool_or(start_held) as start_held,
    bool_or((opening > 0 or opening_held) and opening + transferred = 0 and not start_held) as is_moved_away,
    arg_max_null(held_cause, changed_on) as held_cause,
    arg_min(had_mrr_before, changed_on) as had_mrr_before,
    arg_min(last_zero_on, changed_on) as last_zero_on,
    min(changed_on) filter (where closing > 0) as first_paying_on,
    arg_max_null(paying_since_on, changed_on) as paying_since_on,
    max(closing) as highest
  from days
  where shares_month
  group by customer_id, amount_currency, month
),
steps as (
  select customer_id, amount_currency, month, movement_on, reason, cause, category, delta_constant, delta_booked
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr' and not is_scheduled
),
step_months as (
  select
    customer_id,
    amount_currency,
    month,
    count(*) as step_count,
    any_value(reason) as reason,
    any_value(cause) as cause,
    sum(delta_booked) filter (where category not in ('entered', 'left')) as delta_booked,
    sum(delta_booked) filter (where category in ('entered', 'left')) as transferred_booked
  from steps
  group by customer_id, amount_currency, month
),
reasons as (
  select * exclude (step_count, reason), reason as main_reason, reason as last_reason
  from step_months
  where step_count = 1
  union all by name
  select
    customer_id,
    amount_currency,
    month,
    -- by size, then name, so that a tie is told the same way every time
    first(reason order by abs(delta_constant) desc, reason) as main_reason,
    last(cause order by movement_on, abs(delta_constant), cause) filter (where cause is not null) as cause,
    last(reason order by movement_on, abs(delta_constant), reason) as last_reason,
    sum(delta_booked) filter (where category not in ('entered', 'left')) as delta_booked,
    sum(delta_booked) filter (where category in ('entered', 'left')) as transferred_booked
  from steps
  semi join (select * from step_months where step_count > 1) as months using (customer_id, amount_currency, month)
  group by customer_id, amount_currency, month
),
celled as (
  select months.*, cells.cell, coalesce(cells.is_only_cell, false) as has_its_only_cell
  from months
  left join {{ ref('int_customer_month_cells') }} as cells using (customer_id, amount_currency, month)
),
-- the cell a customer was last counted in; one that is held at 0 stays in the one it paid in
last_cells as (
  select
    customer_id,
    amount_currency,
    month,
    lag(
      case when closing > 0 or closing_held and opening = 0 and not opening_held then cell end ignore nulls
    ) over (partition by customer_id, amount_currency order by month) as last_cell
  from celled
  semi join (select * from celled where not has_its_only_cell) as several using (customer_id, amount_currency)
),
cells as (
  select
    celled.*,
    reasons.main_reason,
    reasons.delta_booked,
    reasons.transferred_booked,
    -- a customer emptied by a change of parent was merged
    case when reasons.last_reason = 'left_parent' then 'merge' else coalesce(celled.held_cause, reasons.cause) end as cause,
    case when celled.has_its_only_cell then celled.cell else last_cells.last_cell end as opening_cell
  from celled
  left join reasons using (customer_id, amount_currency, month)
  left join last_cells using (customer_id, amount_currency, month)
),
shown as (
  select
    *,
    opening > 0 or opening_held as is_there_before,
    closing > 0 or closing_held as is_there_after,
    opening_held and (closing > 0 or closing_held or not is_moved_away)
      or opening > 0 and start_held and not is_moved_away as is_held,
    case when closing = 0 and (opening > 0 or opening_held) then opening_cell else cell end as closing_cell
  from cells
)
select
  shown.customer_id,
  shown.month,
  coalesce(shown.next_month, {{ add_months('build.as_of_month', 1) }}) as until_month,
  shown.amount_currency as currency,
  shown.opening::decimal(38, 16) as opening_mrr,
  shown.closing::decimal(38, 16) as closing_mrr,
  shown.transferred::decimal(38, 16) as transferred_mrr,
  (shown.closing - shown.opening - shown.transferred)::decimal(38, 16) as delta,
  coalesce(shown.transferred_booked, 0)::decimal(38, 16) as transferred_booked,
  coalesce(shown.delta_booked, 0)::decimal(38, 16) as delta_booked,
  shown.opening_held,
  shown.closing_held,
  {{ movement_category('opening + transferred', 'closing', 'is_held', 'closing_held', 'had_mrr_before',
    'first_paying_on - last_zero_on') }} as category,
  shown.main_reason,
  case when not shown.is_there_after then shown.cause end as cause,
  not shown.is_there_before and not shown.is_there_after and shown.highest > 0 and shown.transferred = 0 as joined_and_left,
  shown.paying_since_on,
  case when shown.is_there_before then shown.opening_cell.segment end as opening_segment,
  case when shown.is_there_before then shown.opening_cell.plan_id end as opening_plan_id,
  case when shown.is_there_before then shown.opening_cell.channel end as opening_channel,
  case when shown.is_there_before then shown.opening_cell.currency end as opening_currency,
  shown.closing_cell.segment as segment,
  shown.closing_cell.plan_id as plan_id,
  shown.closing_cell.channel as acquisition_channel,
  shown.closing_cell.currency as native_currency,
  months.is_provisional
from shown
cross join build
join {{ ref('int_months') }} as months using (month)
