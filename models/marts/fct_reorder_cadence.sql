-- One row per customer × SKU × currency with a goods purchase in the 365 days that end with the as-of day.
with names as (
  select sku, min(sku_name) as sku_name from {{ ref('int_order_lines') }} group by sku
)
select
  customer_id,
  sku,
  names.sku_name,
  currency,
  purchase_days,
  first_purchase_on,
  last_purchase_on,
  median_gap_days,
  gaps,
  regular_gaps,
  ((20000 * regular_gaps + gaps) // (2 * nullif(gaps, 0)))::integer as regular_gap_share_bp,
  days_since_last,
  next_expected_on,
  net_spend_minor
from {{ ref('int_order_cadence') }}
join names using (sku)
where is_current and scope = 'sku'
