-- 0 <= GRR <= least(1, NRR) in every cell, returners are part of the end, and the causes sum to the lost.
select *
from {{ ref('fct_retention') }}
where kept_mrr < 0
  or kept_mrr > start_mrr
  or kept_mrr > end_mrr
  or returner_mrr < 0
  or returner_mrr > end_mrr
  or start_mrr < 0
  -- only customers held at MRR 0 make a start set without MRR
  or start_mrr = 0 and (select pause <> 'pause_contraction' and zero_mrr <> 'keep_active' from {{ ref('stg_meta__policy') }})
  or lost_customers > start_customers
  or least(lost_voluntary, lost_involuntary, lost_other) < 0
  or lost_voluntary + lost_involuntary + lost_other <> lost_customers
