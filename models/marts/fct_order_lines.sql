{{ config(materialized='view') }}
-- One row per order line up to the as-of day.
select
  order_id,
  line_no,
  customer_id,
  ordered_on,
  sku,
  sku_name,
  category,
  is_goods,
  is_credit,
  quantity,
  amount_minor,
  currency,
  country,
  is_zero_amount,
  is_goods_purchase
from {{ ref('int_order_lines') }}
