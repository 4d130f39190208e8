{{ config(materialized='view') }}
-- One row per order or credit note up to the as-of day.
select
  order_id,
  customer_id,
  ordered_at,
  ordered_on,
  order_month,
  currency,
  is_credit,
  credited_order_id,
  country,
  lines,
  zero_lines,
  skus,
  goods_minor,
  other_minor,
  net_minor,
  order_no
from {{ ref('int_orders') }}
