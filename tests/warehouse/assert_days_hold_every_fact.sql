-- The calendar has no gap, and every movement up to the as-of day has its day in it.
select min(day) as day
from {{ ref('dim_days') }}
having count(*) <> max(day) - min(day) + 1
union all
select movement_on as day
from {{ ref('fct_mrr_movements') }}
where not is_scheduled
  and movement_on not in (select day from {{ ref('dim_days') }})
