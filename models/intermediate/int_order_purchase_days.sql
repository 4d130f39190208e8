-- One row per scope × customer × SKU × currency × purchase day: a day with units and amount above 0, goods only.
-- Scope `sku` keeps articles apart; scope `customer` takes all goods together and has sku null.
select
  case when grouping(sku) = 0 then 'sku' else 'customer' end as scope,
  customer_id,
  sku,
  currency,
  ordered_on as purchased_on,
  sum(quantity)::decimal(38, 12) as units,
  sum(amount_minor)::bigint as spend_minor
from {{ ref('int_order_lines') }}
where is_goods_purchase
group by grouping sets ((customer_id, sku, currency, ordered_on), (customer_id, currency, ordered_on))
