-- What left cells entered others: over all cells of a month and currency they cancel out.
select month, currency, sum(entered_mrr_native + left_mrr_native) as rest
from {{ ref('fct_mrr_months') }}
group by month, currency
having sum(entered_mrr_native + left_mrr_native) <> 0
  -- a customer whose currencies change against each other without a net movement
  and month not in (
    select month from {{ ref('fct_mrr_movements') }} as movements
    group by month, customer_id having count(distinct currency) > 1
  )
