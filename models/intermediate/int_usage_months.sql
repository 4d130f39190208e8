-- One row per subscription item and month with rated use by the as-of day. Currency and customer are those of the item's
-- version on its last day of use in the month, the segment that of the customer on that day. first_month is the first
-- month in which anybody's use was rated.
with item_months as (
  select
    used.subscription_item_id,
    date_trunc('month', used.used_on)::date as month,
    max(used.used_on) as last_used_on,
    sum(used.rated_minor)::bigint as rated_minor
  from {{ ref('stg_billing__usage_days') }} as used
  cross join {{ ref('stg_meta__build') }} as build
  where used.rated_minor is not null and used.used_on <= build.as_of
  group by used.subscription_item_id, month
),
item_places as (
  select subscription_item_id, customer_id, currency, valid_from
  from {{ ref('stg_billing__used_versions') }}
  semi join item_months using (subscription_item_id)
),
-- use before the first version is that version's
since_ever as (
  select
    subscription_item_id, customer_id, currency,
    case when row_number() over by_day = 1 then date '0001-01-01' else valid_from end as valid_from
  from item_places
  window by_day as (partition by subscription_item_id order by valid_from)
),
placed as (
  select item_months.*, places.customer_id as billed_customer_id, places.currency
  from item_months
  asof join since_ever as places
    on places.subscription_item_id = item_months.subscription_item_id
    and places.valid_from <= item_months.last_used_on
)
select
  placed.subscription_item_id,
  placed.month,
  customers.customer_id,
  placed.currency,
  customers.segment,
  placed.rated_minor,
  min(placed.month) over () as first_month
from placed
{{ join_customer_of_day('placed.billed_customer_id', 'placed.last_used_on') }}
