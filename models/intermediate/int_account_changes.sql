-- One row per as-of day and paying customer with service by then: how long it has been one, the terms it has begun, and
-- how its recurring amount has moved, as known on the as-of day. A change of price alone is neither up nor down.
with days as (
  select as_of from {{ ref('int_account_days') }}
),
known as (
  select
    days.as_of,
    customers.customer_id,
    versions.subscription_item_id,
    versions.plan_id,
    versions.quantity,
    versions.term_start,
    versions.valid_from,
    case
      when versions.end_known_on <= days.as_of then least(versions.valid_to, versions.ends_on)
      else versions.valid_to
    end as valid_to,
    case when versions.status in ('active', 'past_due', 'renewal_pending') then versions.list_mrr else 0 end as rate
  from days
  join {{ ref('int_account_versions') }} as versions
    on versions.known_from <= days.as_of
    and versions.known_until > days.as_of
    and versions.valid_from <= days.as_of
  join {{ ref('int_account_customers') }} as customers
    on customers.as_of = days.as_of and customers.billed_customer_id = versions.customer_id
),
by_item as (
  select
    *,
    lag(valid_to) over item = valid_from as is_going_on,
    lead(valid_from) over item = valid_to as goes_on,
    lag(rate) over item as rate_before,
    lag(plan_id) over item = plan_id and lag(quantity) over item = quantity as is_same_volume
  from known
  window item as (partition by as_of, subscription_item_id order by valid_from, valid_to)
),
steps as (
  select
    as_of,
    customer_id,
    valid_from as day,
    rate - case when is_going_on then rate_before else 0 end as change,
    case when is_going_on and is_same_volume and rate > 0 and rate_before > 0 then 0 else change end as volume_change
  from by_item
  union all
  select as_of, customer_id, valid_to as day, -rate as change, -rate as volume_change
  from by_item
  where valid_to <= as_of and goes_on is not true
),
by_day as (
  select as_of, customer_id, day, sum(change) as change, sum(volume_change) as volume_change
  from steps
  group by as_of, customer_id, day
  having sum(change) <> 0 or sum(volume_change) <> 0
),
-- of the days on which a customer stayed one, those on which it took more or less
moves as (
  select
    *,
    sum(change) over customer as after,
    sum(change) over customer - change as before
  from by_day
  window customer as (partition by as_of, customer_id order by day)
),
moved as (
  select
    as_of,
    customer_id,
    count(*) filter (volume_change >= 1 and as_of - day < 365) as upgrades_365,
    count(*) filter (volume_change <= -1 and as_of - day < 365) as downgrades_365,
    arg_max(volume_change < 0, day) as last_change_was_down
  from moves
  where before >= 1 and after >= 1 and abs(volume_change) >= 1
  group by as_of, customer_id
),
terms as (
  select as_of, customer_id, max(terms) - 1 as renewals_so_far
  from (
    select as_of, customer_id, subscription_item_id, count(distinct term_start) as terms
    from known
    where term_start <= as_of
    group by as_of, customer_id, subscription_item_id
  ) as of_items
  group by as_of, customer_id
),
first_days as (
  select as_of, customer_id, min(valid_from) as paying_since_on
  from known
  where rate >= 1
  group by as_of, customer_id
)
select
  first_days.as_of,
  first_days.customer_id,
  first_days.paying_since_on,
  terms.renewals_so_far,
  coalesce(moved.upgrades_365, 0) as upgrades_365,
  coalesce(moved.downgrades_365, 0) as downgrades_365,
  moved.last_change_was_down
from first_days
left join terms using (as_of, customer_id)
left join moved using (as_of, customer_id)
