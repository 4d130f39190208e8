-- One row per article code.
with known as (
  {{ latest_known(source('raw_orders', 'skus'), ['sku']) }}
)
select
  sku,
  coalesce(name, sku) as sku_name,
  category,
  coalesce(is_goods, true) as is_goods,
  recorded_at,
  source_system
from known
