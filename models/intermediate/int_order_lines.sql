-- One row per order line up to the as-of day, with its order and article.
select
  lines.order_id,
  lines.line_no,
  orders.customer_id,
  orders.ordered_on,
  lines.sku,
  coalesce(skus.sku_name, lines.sku) as sku_name,
  skus.category,
  coalesce(skus.is_goods, true) as is_goods,
  orders.is_credit,
  lines.quantity,
  lines.amount_minor,
  orders.currency,
  orders.country,
  lines.amount_minor = 0 as is_zero_amount,
  coalesce(skus.is_goods, true) and not orders.is_credit and lines.quantity > 0 and lines.amount_minor > 0
    as is_goods_purchase
from {{ ref('stg_orders__order_lines') }} as lines
join {{ ref('stg_orders__orders') }} as orders using (order_id)
left join {{ ref('stg_orders__skus') }} as skus using (sku)
where orders.ordered_on <= (select as_of from {{ ref('stg_meta__build') }})
