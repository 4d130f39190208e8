-- One row: the metric policy in force, with factors and day counts as whole numbers.
with given as (
  select
    *,
    {{ as_fraction('week_factor') }} as week_fraction,
    {{ as_fraction('day_factor') }} as day_fraction
  from {{ source('raw_meta', 'policy') }}
)
select
  * exclude (week_fraction, day_fraction),
  week_fraction[1] as week_n,
  week_fraction[2] as week_d,
  day_fraction[1] as day_n,
  day_fraction[2] as day_d,
  -- days past due after which an unpaid item leaves MRR; null = never
  try_cast(past_due_grace_days as integer) as grace_days,
  -- a return after a longer gap is new; null = any return is a reactivation
  case reactivation when 'gap_over_30d' then 30 when 'gap_over_90d' then 90 end as new_after_gap_days
from given
