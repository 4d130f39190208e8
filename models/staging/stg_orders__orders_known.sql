-- One row per order or credit note and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_orders', 'orders'), ['order_id']) }}
)
select
  order_id,
  customer_id,
  (ordered_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as ordered_on,
  currency,
  coalesce(is_credit, false) as is_credit,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
