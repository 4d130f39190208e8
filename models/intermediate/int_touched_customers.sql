-- One row per customer whose rows an increment deletes and makes anew; none in a full build. Beside those whose own rows
-- came anew, the customers of items that are late on other days than before, and whoever is tied to one of them.
with recursive ties as (
  select * from {{ ref('stg_billing__ties') }}
),
items_late_otherwise as (
  (
    select subscription_item_id, valid_from, valid_to from {{ ref('int_past_due_days') }}
    except all
    select subscription_item_id, valid_from, valid_to from {{ ref('stg_meta__past_due_days_before') }}
  )
  union all
  (
    select subscription_item_id, valid_from, valid_to from {{ ref('stg_meta__past_due_days_before') }}
    except all
    select subscription_item_id, valid_from, valid_to from {{ ref('int_past_due_days') }}
  )
),
touched_first as (
  select customer_id from {{ ref('stg_meta__touched_customers') }}
  union
  select customer_id from ties
  where tie = 'item' and tie_id in (select subscription_item_id from items_late_otherwise)
),
-- from a customer to what ties it, and from there to all it ties: each node once
touched(kind, id) as (
  select 'customer', touched_first.customer_id
  from touched_first
  cross join {{ ref('stg_meta__increment') }} as increment
  union
  (
    select ties.tie, ties.tie_id
    from touched
    join ties on touched.kind = 'customer' and ties.customer_id = touched.id
    union all
    select 'customer', ties.customer_id
    from touched
    join ties on ties.tie = touched.kind and ties.tie_id = touched.id
  )
)
select id as customer_id from touched where kind = 'customer'
