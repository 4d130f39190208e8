-- One row per article and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_orders', 'skus'), ['sku']) }}
)
select
  sku,
  coalesce(is_goods, true) as is_goods,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
