-- Every metric with values is in the registry, where there is one.
select distinct metric_id
from {{ ref('fct_metric_values') }}
where metric_id not in (select metric_id from {{ ref('dim_metrics') }})
  and exists (select 1 from {{ ref('dim_metrics') }})
