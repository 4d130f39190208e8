-- Every segment, origin and horizon shows one method, one that has a point, and never the model where a naive method
-- did better.
select currency, segment, origin_month, horizon_months
from {{ ref('fct_forecast') }}
group by currency, segment, origin_month, horizon_months
having count(*) <> 3
  or count(*) filter (is_headline) <> 1
  or bool_or(is_headline and (point_mrr is null or headline_why is null))
  or min(mean_absolute_error) < min(mean_absolute_error) filter (is_headline)
