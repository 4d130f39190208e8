-- A curve begins at 1 and only falls; nobody ends who wasn't at risk; segments sum to all.
with curves as (
  select
    *,
    lag(survival, 1, 1) over (partition by segment order by tenure_months) as survival_before
  from {{ ref('fct_survival') }}
)
select segment, tenure_months
from curves
where survival > survival_before
  or survival < 0
  or tenure_months = 0 and survival <> 1
  or ended > at_risk
  or at_risk < 0
  or standard_error < 0
union all
select 'all' as segment, tenure_months
from curves
group by tenure_months
having sum(at_risk) filter (segment = 'all') <> sum(at_risk) filter (segment <> 'all')
  or sum(ended) filter (segment = 'all') <> sum(ended) filter (segment <> 'all')
