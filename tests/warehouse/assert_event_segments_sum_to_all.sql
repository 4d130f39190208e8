-- Metrics of renewals, trials and ends: the parts of the segments add up to those of all.
select month, currency, metric_id
from {{ ref('int_metric_parts__events') }}
where metric_id not like 'ltv%'
group by month, currency, metric_id
having sum(numerator) filter (segment = 'all') is distinct from sum(numerator) filter (segment <> 'all')
  or sum(denominator) filter (segment = 'all') is distinct from sum(denominator) filter (segment <> 'all')
