-- On the day of its snapshot a month's cell holds the item versions valid then: what they pay, what they would pay
-- without discounts, and what running trials would, at the rates of that day.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
policy as (
  select snapshot from {{ ref('stg_meta__policy') }}
),
days as (
  select
    months.month,
    case policy.snapshot
      when 'month_start' then months.month
      else least((months.month + interval 1 month)::date - 1, build.as_of)
    end as day
  from {{ ref('int_months') }} as months
  cross join build
  cross join policy
),
-- versions of the same days are valid together
items as (
  select
    valid_from, valid_to, currency, segment, plan_id, acquisition_channel,
    sum(mrr) as mrr,
    sum(case when counts_in_mrr then list_mrr else 0 end) as list_mrr,
    sum(trial_mrr) as trial_mrr
  from {{ ref('int_item_versions') }}
  where mrr > 0 or trial_mrr > 0
  group by valid_from, valid_to, currency, segment, plan_id, acquisition_channel
),
from_items as (
  select
    days.month, items.currency, items.segment, items.plan_id, items.acquisition_channel,
    sum(items.mrr) as mrr,
    sum(items.list_mrr) as list_mrr,
    sum(items.trial_mrr) as trial_mrr
  from days
  join items
    on items.valid_from <= days.day
    and coalesce(items.valid_to, date '9999-12-31') > days.day
  group by days.month, items.currency, items.segment, items.plan_id, items.acquisition_channel
),
cells as (
  select cells.*, rates.closing_rate
  from {{ ref('fct_mrr_months') }} as cells
  join {{ ref('int_month_rates') }} as rates using (month, currency)
)
select *
from from_items
full join cells using (month, currency, segment, plan_id, acquisition_channel)
where coalesce(from_items.mrr, 0) <> coalesce(cells.closing_mrr_native, 0)
  or coalesce(from_items.list_mrr * cells.closing_rate, 0) <> coalesce(cells.list_mrr, 0)
  or coalesce(from_items.trial_mrr * cells.closing_rate, 0) <> coalesce(cells.trial_mrr, 0)
