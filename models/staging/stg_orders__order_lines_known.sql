-- One row per order line and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_orders', 'order_lines'), ['order_id', 'line_no']) }}
)
select
  order_id,
  line_no,
  sku,
  quantity,
  amount_minor,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
