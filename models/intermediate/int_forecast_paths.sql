-- Where too few own forecasts have been tried: a thousand paths, each redrawing whole months of those known at the
-- origin, and how far a tenth of them end below and above their mean. A path first redraws its past, as many months as
-- are known, for what a month brings on the whole is no better known than that; then its future out of that past. The
-- draws are the same in every build.
with recursive origins as (
  select totals.currency, totals.segment, totals.month as origin_month, totals.known_months, totals.closing_mrr
  from {{ ref('int_forecast_totals') }} as totals
  semi join (
    select * from {{ ref('int_forecast_ranges') }} where interval_errors < 12
  ) as untried
    on untried.currency = totals.currency
    and untried.segment = totals.segment
    and untried.origin_month = totals.month
  where totals.known_months >= 6
),
-- what a month kept of its opening and what it added
months as (
  select
    currency,
    segment,
    known_months as month_no,
    case
      when opening_mrr > 0 then (closing_mrr - new_mrr)::double / opening_mrr::double
      else 1
    end as kept_share,
    new_mrr::double as new_mrr
  from {{ ref('int_forecast_totals') }}
  where known_months > 0
),
paths_of_a_build as (
  select unnest(range(1, 1001))::integer as path
),
pasts as (
  select path, month_no, ('0x' || left(md5('past ' || path || ' ' || month_no), 8))::bigint as draw
  from paths_of_a_build
  cross join (select distinct month_no from months) as numbers
),
draws as (
  select path, step, ('0x' || left(md5('step ' || path || ' ' || step), 8))::bigint as draw
  from paths_of_a_build
  cross join (select unnest(range(1, 13))::integer as step) as steps
),
paths as (
  select
    origins.currency, origins.segment, origins.origin_month, origins.known_months, paths.path, 0 as step,
    origins.closing_mrr::double as mrr
  from origins
  cross join paths_of_a_build as paths
  union all
  select
    paths.currency, paths.segment, paths.origin_month, paths.known_months, paths.path, draws.step,
    least(paths.mrr * months.kept_share + months.new_mrr, 1e18) as mrr
  from paths
  join draws
    on draws.path = paths.path
    and draws.step = paths.step + 1
  join pasts
    on pasts.path = paths.path
    and pasts.month_no = 1 + (draws.draw * paths.known_months) // 4294967296
  join months
    on months.currency = paths.currency
    and months.segment = paths.segment
    and months.month_no = 1 + (pasts.draw * paths.known_months) // 4294967296
),
ends as (
  select
    currency,
    segment,
    origin_month,
    step as horizon_months,
    list_sort(list(mrr)) as mrr,
    sum(mrr::decimal(38, 6))::double / 1000 as mean_mrr
  from paths
  where step > 0
  group by currency, segment, origin_month, step
)
select
  currency,
  segment,
  origin_month,
  horizon_months,
  mrr[100] / mean_mrr - 1 as low_deviation,
  mrr[901] / mean_mrr - 1 as high_deviation
from ends
where mean_mrr > 0
