-- How far a method's own forecasts at the same horizon were off whose month had closed by the origin: from twelve on,
-- the split conformal bounds that a tenth of them lie below and above.
with outcomes as (
  select
    points.currency,
    points.method,
    points.horizon_months,
    points.target_month,
    totals.closing_mrr::double / points.point_mrr::double - 1 as relative_error
  from {{ ref('int_forecast_points') }} as points
  join {{ ref('int_forecast_totals') }} as totals
    on totals.currency = points.currency
    and totals.month = points.target_month
  where points.point_mrr > 0
),
past as (
  select
    points.currency,
    points.origin_month,
    points.horizon_months,
    points.method,
    count(outcomes.relative_error) as past_errors,
    list_sort(list(outcomes.relative_error) filter (outcomes.relative_error is not null)) as relative_errors
  from {{ ref('int_forecast_points') }} as points
  left join outcomes
    on outcomes.currency = points.currency
    and outcomes.method = points.method
    and outcomes.horizon_months = points.horizon_months
    and outcomes.target_month <= points.origin_month
  where points.point_mrr is not null
  group by points.currency, points.origin_month, points.horizon_months, points.method
)
select
  currency,
  origin_month,
  horizon_months,
  method,
  past_errors::bigint as past_errors,
  case when past_errors >= 12 then relative_errors[(past_errors + 1) // 10] end as low_deviation,
  case when past_errors >= 12 then relative_errors[past_errors + 1 - (past_errors + 1) // 10] end as high_deviation
from past
