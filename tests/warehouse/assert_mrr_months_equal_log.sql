-- A cell moves in a month by the events of the log in it. Over all cells the five movements of a month, netted by
-- customer or not, are those of its single events: a day or month that nets to nothing is no movement.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
events as (
  select
    month, currency, amount_currency, segment, plan_id, acquisition_channel,
    sum(delta_native) as change,
    sum(case when category in ('left', 'entered') then 0 else delta_constant end) as movements
  from {{ ref('fct_mrr_movements') }}
  cross join build
  where measure = 'mrr'
    and movement_on <= build.as_of
    and month <= build.as_of_month
  group by month, currency, amount_currency, segment, plan_id, acquisition_channel
),
cells as (
  select
    cells.month, cells.currency, cells.amount_currency, cells.segment, cells.plan_id, cells.acquisition_channel,
    cells.closing_mrr_native - cells.opening_mrr_native as change,
    (
      cells.new_mrr_native + cells.expansion_mrr_native + cells.contraction_mrr_native + cells.churn_mrr_native
      + cells.reactivation_mrr_native
    ) * rates.constant_rate as movements
  from {{ ref('fct_mrr_months') }} as cells
  join {{ ref('int_rates') }} as rates using (currency)
)
select month, currency, segment, plan_id, acquisition_channel, cells.change as netted, events.change as single_events
from cells
full join events using (month, currency, segment, plan_id, acquisition_channel)
where coalesce(cells.change, 0) <> coalesce(events.change, 0)
union all
select month, amount_currency, null, null, null, netted.movements, single_events.movements
from (select month, amount_currency, sum(movements) as movements from cells group by month, amount_currency) as netted
full join (
  select month, amount_currency, sum(movements) as movements from events group by month, amount_currency
) as single_events using (month, amount_currency)
where coalesce(netted.movements, 0) <> coalesce(single_events.movements, 0)
