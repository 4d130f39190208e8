-- A difference is called a change where its interval lies on one side of 0, and never of too few customers.
with policy as (
  select min_customers from {{ ref('stg_meta__policy') }}
)
select changes.*
from {{ ref('fct_metric_changes') }} as changes
cross join policy
where (changes.verdict = 'too_small') <> (least(changes.customers, changes.earlier_customers) < policy.min_customers)
  or changes.verdict = 'changed' and not (changes.low > 0 or changes.high < 0)
  or changes.verdict = 'within_noise' and not (changes.low <= 0 and 0 <= changes.high)
  or changes.low > changes.high
  or abs(changes.value - changes.earlier_value - changes.difference) > 1e-12
