-- Each method's forecasts with the interval its past errors give, and what came. Which method heads is decided at the
-- origin, by the errors known there: over horizons 1 to 6, on the same forecasts of all methods.
with actuals as (
  select currency, segment, month as target_month, closing_mrr::decimal(38, 6) as actual_mrr
  from {{ ref('int_forecast_totals') }}
),
forecasts as (
  select
    points.*,
    actuals.actual_mrr,
    points.point_mrr - actuals.actual_mrr as error_mrr,
    count(points.point_mrr) over (
      partition by points.currency, points.segment, points.origin_month, points.horizon_months
    ) = 3 and actuals.actual_mrr is not null as is_compared
  from {{ ref('int_forecast_points') }} as points
  left join actuals using (currency, segment, target_month)
),
trials as (
  select currency, segment, method, target_month, sum(abs(error_mrr)) as error_size, count(*) as trials
  from forecasts
  where is_compared and horizon_months <= 6
  group by currency, segment, method, target_month
),
-- who says nothing of a month ahead can't head
heads as (
  select currency, segment, origin_month, method
  from forecasts
  group by currency, segment, origin_month, method
  having count(point_mrr) = count(*)
),
trusts as (
  select
    origins.currency,
    origins.segment,
    origins.month as origin_month,
    trials.method,
    sum(trials.error_size) as error_size,
    sum(trials.trials)::bigint as trials
  from {{ ref('int_forecast_totals') }} as origins
  join trials
    on trials.currency = origins.currency
    and trials.segment = origins.segment
    and trials.target_month <= origins.month
  group by origins.currency, origins.segment, origins.month, trials.method
),
-- the model heads a tie; a method worse than a naive one does not
ranked as (
  select
    *,
    row_number() over (
      partition by currency, segment, origin_month
      order by error_size, case method when 'survival' then 1 when 'last_value' then 2 else 3 end
    ) as rank
  from trusts
  semi join heads using (currency, segment, origin_month, method)
),
headlines as (
  select
    origins.currency,
    origins.segment,
    origins.month as origin_month,
    coalesce(ranked.method, 'last_value') as method,
    case
      when ranked.method is null then 'no_backtest'
      when ranked.method = 'survival' then 'lowest_error'
      when model.method is null then 'model_too_large'
      else 'model_worse_than_naive'
    end as headline_why
  from {{ ref('int_forecast_totals') }} as origins
  left join ranked
    on ranked.currency = origins.currency
    and ranked.segment = origins.segment
    and ranked.origin_month = origins.month
    and ranked.rank = 1
  left join heads as model
    on model.currency = origins.currency
    and model.segment = origins.segment
    and model.origin_month = origins.month
    and model.method = 'survival'
),
bounded as (
  select
    forecasts.*,
    coalesce(ranges.past_errors, 0) as past_errors,
    coalesce(ranges.interval_errors, 0) as interval_errors,
    case when forecasts.point_mrr > 0 then coalesce(ranges.interval_errors, 0) < 12 end as is_short,
    case when ranges.interval_errors >= 12 then ranges.low_deviation else paths.low_deviation end as low_deviation,
    case when ranges.interval_errors >= 12 then ranges.high_deviation else paths.high_deviation end as high_deviation
  from forecasts
  left join {{ ref('int_forecast_ranges') }} as ranges
    using (currency, segment, origin_month, horizon_months, method)
  left join {{ ref('int_forecast_paths') }} as paths using (currency, segment, origin_month, horizon_months)
),
intervals as (
  select
    *,
    case
      when point_mrr > 0 and low_deviation is not null
        then least(point_mrr::double * (1 + low_deviation), 1e18)::decimal(38, 6)
    end as low_mrr,
    case
      when point_mrr > 0 and high_deviation is not null
        then least(point_mrr::double * (1 + high_deviation), 1e18)::decimal(38, 6)
    end as high_mrr
  from bounded
)
select
  intervals.currency,
  intervals.segment,
  intervals.origin_month,
  intervals.horizon_months,
  intervals.method,
  intervals.target_month,
  intervals.origin_month = max(intervals.origin_month) over (
    partition by intervals.currency, intervals.segment
  ) as is_latest,
  headlines.method is not null as is_headline,
  headlines.headline_why,
  intervals.point_mrr,
  case
    when intervals.point_mrr is not null then null
    when intervals.known_months < 6 then 'history_too_short'
    else 'too_large'
  end as why_null,
  intervals.low_mrr,
  intervals.high_mrr,
  case when intervals.low_mrr is not null then intervals.is_short end as is_simulated,
  case
    when intervals.low_mrr is not null then null
    when intervals.known_months < 6 then 'history_too_short'
    when intervals.point_mrr is null then 'too_large'
    else 'no_mrr'
  end as interval_why_null,
  intervals.past_errors::bigint as past_errors,
  intervals.interval_errors::bigint as interval_errors,
  coalesce(trusts.trials, 0)::bigint as trials,
  (trusts.error_size / trusts.trials)::double as mean_absolute_error,
  intervals.actual_mrr,
  intervals.error_mrr::decimal(38, 6) as error_mrr,
  intervals.is_compared,
  intervals.actual_mrr between intervals.low_mrr and intervals.high_mrr as is_covered
from intervals
left join headlines using (currency, segment, origin_month, method)
left join trusts using (currency, segment, origin_month, method)
