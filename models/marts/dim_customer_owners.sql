-- Who looks after each customer on the as-of day, owner by owner: the customers of one owner lie together, so that reading
-- them reads nobody else's. Customers that only order have nobody.
with known as (
  select customer_id, coalesce(csm, owner, '') as owner
  from {{ ref('dim_customers') }}
  where is_current
),
ordering as (
  select customer_id, '' as owner
  from {{ ref('fct_second_orders') }}
  anti join known using (customer_id)
),
owned as (
  select owner, customer_id from known
  union all
  select owner, customer_id from ordering
)
select * from owned order by owner, customer_id
