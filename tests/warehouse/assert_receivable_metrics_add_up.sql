-- The buckets of a month sum to its receivables, and what segments show of receivables, cash and dunning sums to what all
-- of them together show.
with figures as (
  select month, currency, segment, metric_id, numerator, denominator
  from {{ ref('fct_metric_values') }}
  where metric_id in (
    'ar_total', 'ar_current', 'ar_d1_30', 'ar_d31_60', 'ar_d61_90', 'ar_d91_plus', 'ar_unapplied', 'net_cash',
    'dunning_recovery', 'dunning_pending', 'mrr_past_due'
  )
)
select month, currency, segment, 'ar_total' as metric_id,
  sum(case metric_id when 'ar_total' then numerator else -numerator end) as rest
from figures
where metric_id like 'ar_%' and metric_id <> 'ar_unapplied'
group by month, currency, segment
having sum(case metric_id when 'ar_total' then numerator else -numerator end) <> 0
union all
select month, currency, 'all' as segment, metric_id,
  sum(case segment when 'all' then numerator else -numerator end) as rest
from figures
group by month, currency, metric_id
having sum(case segment when 'all' then numerator else -numerator end) <> 0
  or coalesce(sum(case segment when 'all' then denominator else -denominator end), 0) <> 0
