-- One row: how snapshots of repeat trade are cut. A company's build asks for nothing and gets the defaults.
select
  -- the label: no order in so many days after the as-of day
  coalesce(max(horizon_days), 90) as horizon_days,
  -- at risk: an order in so many days up to the as-of day
  coalesce(max(active_days), 180) as active_days,
  -- features before this date, label from it on; null = 120 days after the first order
  max(first_snapshot_on) as first_snapshot_on,
  -- days between snapshots; null = month ends
  max(step_days) as step_days,
  -- further dates, such as those of a test
  coalesce(any_value(also_on), []::date[]) as also_on
from {{ source('raw_meta', 'order_snapshots') }}
