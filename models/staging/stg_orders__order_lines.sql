-- One row per order line.
with known as (
  {{ latest_known(source('raw_orders', 'order_lines'), ['order_id', 'line_no']) }}
)
select
  order_id,
  line_no,
  sku,
  quantity,
  amount_minor,
  recorded_at,
  source_system
from known
