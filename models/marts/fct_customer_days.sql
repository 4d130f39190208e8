-- Customers that begin, return, leave or change segment, day by day.
with changes as (
  select
    days.changed_on as day,
    days.category,
    days.opening > 0 or days.opening_held as is_there_before,
    days.closing > 0 or days.closing_held as is_there_after,
    before.segment as segment_before,
    after.segment as segment_after
  from {{ ref('int_customer_days') }} as days
  join {{ ref('int_customer_attributes') }} as before
    on before.customer_id = days.customer_id
    and before.valid_from < days.changed_on
    and before.valid_to >= days.changed_on
  join {{ ref('int_customer_attributes') }} as after
    on after.customer_id = days.customer_id
    and after.valid_from <= days.changed_on
    and after.valid_to > days.changed_on
  where days.changed_on <= (select as_of from {{ ref('stg_meta__build') }})
),
roles as (
  select
    day, segment_before as segment, -1 as change,
    case when not is_there_after and category = 'churn' then 'churned' else 'left' end as role
  from changes
  where is_there_before and (not is_there_after or segment_before <> segment_after)
  union all
  select
    day, segment_after as segment, 1 as change,
    case when not is_there_before and category in ('new', 'reactivation') then category else 'entered' end as role
  from changes
  where is_there_after and (not is_there_before or segment_before <> segment_after)
),
daily as (
  select
    day,
    segment,
    sum(change) as change,
    count(*) filter (where role = 'new') as new_customers,
    count(*) filter (where role = 'reactivation') as reactivated_customers,
    count(*) filter (where role = 'churned') as churned_customers,
    count(*) filter (where role = 'entered') as entered_customers,
    count(*) filter (where role = 'left') as left_customers
  from roles
  group by day, segment
)
select
  day,
  segment,
  (sum(change) over by_day - change)::bigint as opening_customers,
  new_customers,
  reactivated_customers,
  churned_customers,
  entered_customers,
  left_customers,
  (sum(change) over by_day)::bigint as closing_customers
from daily
window by_day as (partition by segment order by day)
