-- One row per customer × currency with a goods purchase in the 365 days that end with the as-of day, over all goods.
select
  customer_id,
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
where is_current and scope = 'customer'
