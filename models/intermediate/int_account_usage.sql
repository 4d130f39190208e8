-- One row per as-of day and paying customer that has used something by then, as known on that day. Windows are days that
-- end with it.
with days as (
  select as_of from {{ ref('int_account_days') }}
),
-- whose an item is, by what was first known of it
owners as (
  select
    subscription_item_id,
    arg_min(customer_id, (recorded_at, version_no)) as customer_id,
    min(greatest(valid_from, known_from)) as seen_on
  from {{ ref('stg_billing__subscription_versions_known') }}
  group by subscription_item_id
),
used as (
  select
    owners.customer_id,
    known.meter,
    known.used_on,
    greatest(known.known_from, owners.seen_on) as known_from,
    known.known_until,
    sum(known.quantity) as quantity,
    sum(known.active_users) as active_users
  from {{ ref('stg_billing__usage_days_known') }} as known
  join owners using (subscription_item_id)
  where greatest(known.known_from, owners.seen_on) < known.known_until
    and (known.quantity > 0 or known.active_users > 0)
  group by all
),
-- by the first as-of day that sees them, so that the last day of use is a running maximum; what was corrected later
-- is looked at day by day
seen as (
  select days.as_of, lasting.customer_id, max(lasting.used_on) as last_used_on
  from (
    select customer_id, used_on, greatest(used_on, known_from) as seen_on
    from used
    where known_until = date '9999-12-31'
  ) as lasting
  asof join days on lasting.seen_on <= days.as_of
  group by days.as_of, lasting.customer_id
),
last_days as (
  select as_of, date '9999-12-31' as until, customer_id, last_used_on from seen
  union all
  select days.as_of, days.as_of as until, used.customer_id, max(used.used_on) as last_used_on
  from days
  join used
    on used.used_on <= days.as_of and used.known_from <= days.as_of and used.known_until > days.as_of
  where used.known_until < date '9999-12-31'
  group by days.as_of, used.customer_id
),
customers as (
  select as_of, billed_customer_id, customer_id from {{ ref('int_account_customers') }}
),
lasts as (
  select customers.as_of, customers.customer_id, max(last_days.last_used_on) as last_used_on
  from customers
  join last_days
    on last_days.customer_id = customers.billed_customer_id
    and last_days.as_of <= customers.as_of and last_days.until >= customers.as_of
  group by customers.as_of, customers.customer_id
),
recent as (
  select
    customers.as_of,
    customers.customer_id,
    used.meter,
    used.used_on,
    days.as_of - used.used_on < 28 as is_in_28,
    sum(used.quantity) as quantity,
    sum(used.active_users) as active_users
  from days
  join used
    on used.used_on <= days.as_of and used.used_on > days.as_of - 56
    and used.known_from <= days.as_of and used.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = used.customer_id
  group by all
),
meters as (
  select
    as_of,
    customer_id,
    meter,
    coalesce(sum(quantity) filter (is_in_28), 0) as quantity_28,
    coalesce(sum(quantity) filter (not is_in_28), 0) as quantity_29_56,
    count(*) filter (is_in_28) > 0 as is_used_in_28
  from recent
  group by as_of, customer_id, meter
),
trends as (
  select
    as_of,
    customer_id,
    list_aggregate(
      list(ln((quantity_28 + 1)::double / (quantity_29_56 + 1)::double) order by meter), 'avg'
    ) as usage_trend,
    count(*) filter (is_used_in_28) as feature_breadth_28
  from meters
  group by as_of, customer_id
),
-- stretches of 91 days, of two years: 0 is the one that ends with the day
stretches as (
  select
    customers.as_of,
    customers.customer_id,
    used.meter,
    (days.as_of - used.used_on) // 91 as stretch,
    sum(used.quantity) as quantity,
    sum(used.quantity) filter (days.as_of - used.used_on < 28) as quantity_28,
    max(days.as_of - used.used_on) as oldest
  from days
  join used
    on used.used_on <= days.as_of and used.used_on > days.as_of - 728
    and used.known_from <= days.as_of and used.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = used.customer_id
  group by all
),
-- the last three months beside the nine before, or as many days of these as there was use; and beside the three that
-- held most
quarters as (
  select
    as_of,
    customer_id,
    meter,
    coalesce(sum(quantity_28), 0) as quantity_28,
    coalesce(sum(quantity) filter (stretch = 0), 0) as quantity_91,
    coalesce(sum(quantity) filter (stretch between 1 and 3), 0) as quantity_before,
    max(oldest) filter (stretch < 4) - 90 as days_before,
    max(quantity) filter (stretch > 0) as quantity_peak,
    max(oldest) as oldest
  from stretches
  group by as_of, customer_id, meter
),
usual as (
  select
    as_of,
    customer_id,
    list_aggregate(
      list(
        ln((quantity_91 + 1)::double / (quantity_before::double * 91 / days_before::double + 1)) order by meter
      ) filter (days_before >= 90), 'avg'
    ) as usage_to_usual_365,
    list_aggregate(
      list(ln((quantity_91 + 1)::double / (quantity_peak + 1)::double) order by meter) filter (oldest >= 180), 'avg'
    ) as usage_to_peak_730,
    list_aggregate(
      list(
        ln((quantity_28::double * 91 / 28 + 1) / (quantity_peak + 1)::double) order by meter
      ) filter (oldest >= 180), 'avg'
    ) as usage_28_to_peak
  from quarters
  group by as_of, customer_id
),
activity as (
  select
    as_of,
    customer_id,
    max(active_users) filter (is_in_28) as active_users_28,
    bool_or(active_users is not null) as has_users,
    count(distinct used_on) filter (is_in_28) as active_days_28
  from recent
  group by as_of, customer_id
)
select
  lasts.as_of,
  lasts.customer_id,
  lasts.as_of - lasts.last_used_on as days_since_use,
  case when activity.has_users then coalesce(activity.active_users_28, 0) when activity.customer_id is null then 0 end
    as active_users_28,
  coalesce(activity.active_days_28, 0) as active_days_28,
  coalesce(trends.feature_breadth_28, 0) as feature_breadth_28,
  coalesce(trends.usage_trend, 0) as usage_trend,
  usual.usage_to_usual_365,
  usual.usage_to_peak_730,
  usual.usage_28_to_peak
from lasts
left join activity using (as_of, customer_id)
left join trends using (as_of, customer_id)
left join usual using (as_of, customer_id)
