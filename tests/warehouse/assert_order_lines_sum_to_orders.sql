-- The lines of an order sum to it, and its goods and other parts to its net.
with sums as (
  select order_id, count(*) as lines, sum(amount_minor) as net_minor
  from {{ ref('fct_order_lines') }}
  group by order_id
)
select orders.order_id
from {{ ref('fct_orders') }} as orders
full join sums using (order_id)
where
  orders.order_id is null
  or coalesce(sums.net_minor, 0) <> orders.net_minor
  or coalesce(sums.lines, 0) <> orders.lines
  or orders.goods_minor + orders.other_minor <> orders.net_minor
