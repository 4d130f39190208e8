-- Every segment, origin and horizon shows one method, one that has a point, and never the model where a naive method
-- did better. A method without a point for a month ahead does not compete.
with forecasts as (
  select
    *,
    count(point_mrr) over by_origin = count(*) over by_origin as has_all_points
  from {{ ref('fct_forecast') }}
  window by_origin as (partition by currency, segment, origin_month, method)
)
select currency, segment, origin_month, horizon_months
from forecasts
group by currency, segment, origin_month, horizon_months
having count(*) <> 3
  or count(*) filter (is_headline) <> 1
  or bool_or(is_headline and (point_mrr is null or headline_why is null))
  or min(mean_absolute_error) filter (has_all_points) < min(mean_absolute_error) filter (is_headline)
