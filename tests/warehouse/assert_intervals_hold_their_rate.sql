-- A share of customers lies within its interval, and that within 0 and 1; no interval is turned round; what is kept of
-- money is at most all of it; a cell of enough customers has an interval.
with intervals as (
  select metric_id, method, value, low, high, is_too_small, numerator <= denominator as is_share
  from {{ ref('fct_metric_intervals') }}
  union all
  select metric_id, method, value, low, high, is_too_small, numerator <= denominator
  from {{ ref('fct_cohort_intervals') }}
  union all
  select metric_id, 'wilson' as method, value, low, high, is_too_small, numerator <= denominator
  from {{ ref('fct_order_intervals') }}
)
select *
from intervals
where low > high
  or (low is null) <> (high is null)
  or method = 'wilson' and (low is null) = is_share
  or method = 'wilson' and not (0 <= low and low <= value and value <= high and high <= 1)
  or method <> 'wilson' and (low is null) <> is_too_small
  or metric_id in ('grr_1m', 'grr_12m', 'cohort_gross') and (low < 0 or high > 1 + 1e-12)
