-- On every day the log moves each cell by what the item versions beginning on it bring and those ending on it take away:
-- so on every day, month ends and chosen ones alike, its running sum is the sum of the versions valid then. In MRR, in trials
-- and in what running discounts take off.
with changes as (
  select
    valid_from as day, currency, segment, plan_id, acquisition_channel,
    mrr, trial_mrr, discount_mrr
  from {{ ref('int_item_versions') }}
  union all
  select
    valid_to as day, currency, segment, plan_id, acquisition_channel,
    -mrr as mrr, -trial_mrr as trial_mrr, -discount_mrr as discount_mrr
  from {{ ref('int_item_versions') }}
  where valid_to is not null
  union all
  select
    movement_on as day, currency, segment, plan_id, acquisition_channel,
    case measure when 'mrr' then -delta_native else 0 end as mrr,
    case measure when 'trial' then -delta_native else 0 end as trial_mrr,
    case measure when 'discount' then -delta_native else 0 end as discount_mrr
  from {{ ref('fct_mrr_movements') }}
)
select
  day, currency, segment, plan_id, acquisition_channel,
  sum(mrr) as mrr, sum(trial_mrr) as trial_mrr, sum(discount_mrr) as discount_mrr
from changes
group by day, currency, segment, plan_id, acquisition_channel
having sum(mrr) <> 0 or sum(trial_mrr) <> 0 or sum(discount_mrr) <> 0
