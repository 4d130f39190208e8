-- How far a method's own forecasts were off whose month had closed by the origin: from twelve on at the same horizon,
-- the split conformal bound that four of five sizes of error stay within. With fewer the shorter horizons lend theirs,
-- each as an error per month ahead: what is misjudged in a month's movements adds up month by month.
with outcomes as (
  select
    points.currency,
    points.segment,
    points.method,
    points.horizon_months,
    points.target_month,
    abs(totals.closing_mrr::double / points.point_mrr::double - 1) / points.horizon_months as error_per_month
  from {{ ref('int_forecast_points') }} as points
  join {{ ref('int_forecast_totals') }} as totals
    on totals.currency = points.currency
    and totals.segment = points.segment
    and totals.month = points.target_month
  where points.point_mrr > 0
),
own as (
  select
    points.currency,
    points.segment,
    points.origin_month,
    points.horizon_months,
    points.method,
    any_value(points.point_mrr) as point_mrr,
    coalesce(list(outcomes.error_per_month) filter (outcomes.error_per_month is not null), []) as errors
  from {{ ref('int_forecast_points') }} as points
  left join outcomes
    on outcomes.currency = points.currency
    and outcomes.segment = points.segment
    and outcomes.method = points.method
    and outcomes.horizon_months = points.horizon_months
    and outcomes.target_month <= points.origin_month
  group by points.currency, points.segment, points.origin_month, points.horizon_months, points.method
),
lent as (
  select *, flatten(list(errors) over up_to_horizon) as errors_up_to_horizon
  from own
  window up_to_horizon as (
    partition by currency, segment, origin_month, method order by horizon_months
  )
),
chosen as (
  select
    *,
    len(errors) as past_errors,
    list_sort(case when len(errors) >= 12 then errors else errors_up_to_horizon end) as interval_errors
  from lent
  where point_mrr is not null
),
bounds as (
  select
    *,
    -- ceil(0.8 × (n + 1)), in whole numbers
    case when len(interval_errors) >= 12 then interval_errors[(4 * len(interval_errors) + 8) // 5] end
      * horizon_months as deviation
  from chosen
)
select
  currency,
  segment,
  origin_month,
  horizon_months,
  method,
  past_errors::bigint as past_errors,
  len(interval_errors)::bigint as interval_errors,
  -least(deviation, 1) as low_deviation,
  deviation as high_deviation
from bounds
