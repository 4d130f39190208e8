-- One row per order or credit note, its day in the reporting timezone.
with known as (
  {{ latest_known(source('raw_orders', 'orders'), ['order_id']) }}
)
select
  order_id,
  customer_id,
  ordered_at,
  (ordered_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as ordered_on,
  currency,
  coalesce(is_credit, false) as is_credit,
  credited_order_id,
  coalesce(country, 'unknown') as country,
  recorded_at,
  source_system
from known
