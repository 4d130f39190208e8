-- What each method said at the close of each month about the twelve after it, from months up to that one alone. A few
-- wild months can make a model explode: what reaches 10^18 is no forecast.
{% set horizon = 12 -%}
with origins as (
  select
    currency,
    segment,
    month as origin_month,
    known_months,
    closing_mrr,
    lag(closing_mrr, 6) over (partition by currency, segment order by month) as closing_mrr_6_before
  from {{ ref('int_forecast_totals') }}
),
steps as (
  select unnest(range(1, {{ horizon + 1 }}))::integer as step
),
-- whole years alone, so that every month of the calendar counts alike
seasons as (
  select
    origins.currency,
    origins.segment,
    origins.origin_month,
    extract(month from flows.month) as calendar_month,
    sum(flows.new_mrr)::double as new_mrr
  from origins
  join {{ ref('int_forecast_totals') }} as flows
    on flows.currency = origins.currency
    and flows.segment = origins.segment
    and flows.month <= origins.origin_month
    and flows.month > {{ add_months('origins.origin_month', '-12 * (origins.known_months // 12)') }}
  where origins.known_months >= 24
  group by origins.currency, origins.segment, origins.origin_month, extract(month from flows.month)
),
recent_seasons as (
  select
    origins.currency,
    origins.segment,
    origins.origin_month,
    list_sum(list(seasons.new_mrr order by seasons.calendar_month)) as new_mrr
  from origins
  join seasons
    on seasons.currency = origins.currency
    and seasons.segment = origins.segment
    and seasons.origin_month = origins.origin_month
  where (extract(month from origins.origin_month) - seasons.calendar_month + 12) % 12 < 6
  group by origins.currency, origins.segment, origins.origin_month
),
season_indexes as (
  select
    seasons.currency,
    seasons.segment,
    seasons.origin_month,
    seasons.calendar_month,
    6 * seasons.new_mrr / recent_seasons.new_mrr as season_index
  from seasons
  join recent_seasons
    on recent_seasons.currency = seasons.currency
    and recent_seasons.segment = seasons.segment
    and recent_seasons.origin_month = seasons.origin_month
  where recent_seasons.new_mrr > 0
),
new_by_class as (
  select
    origins.currency,
    origins.segment,
    origins.origin_month,
    flows.plan_class,
    sum(flows.new_mrr)::double / 6 as new_mrr
  from origins
  join {{ ref('int_forecast_flows') }} as flows
    on flows.currency = origins.currency
    and flows.segment = origins.segment
    and flows.month <= origins.origin_month
    and flows.month > {{ add_months('origins.origin_month', -6) }}
  where origins.known_months >= 6
  group by origins.currency, origins.segment, origins.origin_month, flows.plan_class
),
balances as (
  select
    origins.currency,
    origins.segment,
    origins.origin_month,
    balances.plan_class,
    least({{ months_between('balances.since_month', 'origins.origin_month') }}, 24) as age,
    {{ months_between('origins.origin_month', 'balances.due_month') }} as due_step,
    balances.term_months,
    {{ months_between('origins.origin_month', 'balances.cancel_month') }} as cancel_step,
    balances.mrr
  from origins
  join {{ ref('int_forecast_balances') }} as balances
    on balances.currency = origins.currency
    and balances.segment = origins.segment
    and balances.from_month <= origins.origin_month
    and balances.until_month > origins.origin_month
  where origins.known_months >= 6
),
-- what lies beyond the horizon makes no difference
near_balances as (
  select
    currency,
    segment,
    origin_month,
    plan_class,
    age,
    case when due_step between 1 and {{ horizon }} then due_step end as due_step,
    case when due_step >= 1 and due_step + term_months <= {{ horizon }} then term_months end as term_months,
    case when cancel_step <= {{ horizon }} then cancel_step end as cancel_step,
    mrr
  from balances
),
pieces as (
  select
    currency, segment, origin_month, plan_class, 0 as enters_at, age, due_step, term_months, cancel_step,
    sum(mrr)::double as mrr
  from near_balances
  group by all
  union all by name
  select
    new_by_class.currency,
    new_by_class.segment,
    new_by_class.origin_month,
    new_by_class.plan_class,
    steps.step as enters_at,
    -steps.step as age,
    new_by_class.new_mrr * coalesce(season_indexes.season_index, 1) as mrr
  from new_by_class
  cross join steps
  left join season_indexes
    on season_indexes.currency = new_by_class.currency
    and season_indexes.segment = new_by_class.segment
    and season_indexes.origin_month = new_by_class.origin_month
    and season_indexes.calendar_month = extract(month from {{ add_months('new_by_class.origin_month', 'steps.step') }})
),
-- what remains of a unit of MRR after each step, with what comes back of what is lost in it
hazards as (
  select
    pieces.*,
    steps.step,
    rates.expansion_rate,
    rates.reactivation_share,
    case
      when pieces.cancel_step = steps.step then 1
      when pieces.due_step = steps.step
        or steps.step > pieces.due_step and (steps.step - pieces.due_step) % pieces.term_months = 0
        then rates.due_hazard
      else rates.hazard
    end as hazard
  from pieces
  join steps on steps.step > pieces.enters_at
  join {{ ref('int_forecast_rates') }} as rates
    on rates.currency = pieces.currency
    and rates.segment = pieces.segment
    and rates.origin_month = pieces.origin_month
    and rates.step = steps.step
    and rates.plan_class = pieces.plan_class
    and rates.tenure_from = {{ tenure_from('pieces.age + steps.step - 1') }}
  where pieces.mrr <> 0
),
factors as (
  select
    currency, segment, origin_month, plan_class, enters_at, age, due_step, term_months, cancel_step, mrr,
    list((1 - hazard) * (1 + expansion_rate) + hazard * reactivation_share order by step) as factors
  from hazards
  group by all
),
-- a piece that enters at the last step has no factor
remainders as (
  select
    currency,
    segment,
    origin_month,
    mrr,
    unnest(list_transform(
      range(enters_at, {{ horizon + 1 }}),
      lambda step: {'step': step, 'remains': coalesce(list_product(factors[1:step - enters_at]), 1)}
    )) as remainder
  from factors
),
survivors as (
  select currency, segment, origin_month, remainder.step as step, mrr * remainder.remains as mrr from remainders
  union all
  select currency, segment, origin_month, enters_at as step, mrr from pieces where enters_at = {{ horizon }}
),
survival as (
  select currency, segment, origin_month, step, sum(least(mrr, 1e18)::decimal(38, 6)) as point_mrr
  from survivors
  where step > 0
  group by currency, segment, origin_month, step
),
points as (
  select
    origins.*,
    steps.step,
    unnest([
      {
        'method': 'survival',
        'point_mrr': case
          when origins.known_months >= 6 and coalesce(survival.point_mrr, 0) < 1e18 then coalesce(survival.point_mrr, 0)
        end::decimal(38, 6)
      },
      {'method': 'last_value', 'point_mrr': origins.closing_mrr::decimal(38, 6)},
      {
        'method': 'last_value_and_trend',
        'point_mrr': greatest(
          origins.closing_mrr::double + (origins.closing_mrr - origins.closing_mrr_6_before)::double * steps.step / 6,
          case when origins.closing_mrr_6_before is not null then 0 end)::decimal(38, 6)
      }
    ], recursive := true)
  from origins
  cross join steps
  left join survival using (currency, segment, origin_month, step)
)
select
  currency,
  segment,
  origin_month,
  step as horizon_months,
  method,
  {{ add_months('origin_month', 'step') }} as target_month,
  known_months,
  point_mrr
from points
