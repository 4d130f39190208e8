-- Running sums of the log by day.
with changes as (
  select
    movement_on as day,
    currency,
    segment,
    sum(delta_native) filter (where measure = 'mrr') as mrr_change,
    sum(delta_constant) filter (where measure = 'mrr') as constant_change,
    sum(delta_native) filter (where measure = 'trial') as trial_change
  from {{ ref('fct_mrr_movements') }}
  where not is_scheduled and measure in ('mrr', 'trial')
  group by movement_on, currency, segment
)
select
  day,
  currency,
  segment,
  coalesce(sum(mrr_change) over by_day, 0)::decimal(20, 6) as closing_mrr_native,
  coalesce(sum(constant_change) over by_day, 0)::decimal(38, 16) as closing_mrr_constant,
  coalesce(sum(trial_change) over by_day, 0)::decimal(20, 6) as trial_mrr_native
from changes
window by_day as (partition by currency, segment order by day)
