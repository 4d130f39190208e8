-- At the close of every month and of 20 days of chance (others in every build) MRR is the sum of the item versions valid
-- then, in every currency and segment.
with build as (
  select build_id, as_of from {{ ref('stg_meta__build') }}
),
span as (
  select min(valid_from) as first_on from {{ ref('int_item_versions') }}
),
days as (
  select least((months.month + interval 1 month)::date - 1, build.as_of) as day
  from {{ ref('int_months') }} as months
  cross join build
  union
  select
    span.first_on + (hash(build.build_id || '-' || draws.number) % (build.as_of - span.first_on + 1)::ubigint)::integer as day
  from span
  cross join build
  cross join generate_series(1, 20) as draws(number)
  where span.first_on <= build.as_of
),
-- versions of the same days are valid together
items as (
  select valid_from, valid_to, currency, segment, sum(mrr) as mrr, sum(trial_mrr) as trial_mrr
  from {{ ref('int_item_versions') }}
  where mrr > 0 or trial_mrr > 0
  group by valid_from, valid_to, currency, segment
),
from_items as (
  select days.day, items.currency, items.segment, sum(items.mrr) as mrr, sum(items.trial_mrr) as trial_mrr
  from days
  join items
    on items.valid_from <= days.day
    and coalesce(items.valid_to, date '9999-12-31') > days.day
  group by days.day, items.currency, items.segment
),
-- the last day with a change tells the balance of the days after it
balances as (
  select
    *,
    coalesce(lead(day) over (partition by currency, segment order by day), date '9999-12-31') as until_day
  from {{ ref('fct_mrr_days') }}
),
from_days as (
  select days.day, balances.currency, balances.segment, balances.closing_mrr_native as mrr, balances.trial_mrr_native as trial_mrr
  from days
  join balances
    on balances.day <= days.day
    and balances.until_day > days.day
)
select *
from from_items
full join from_days using (day, currency, segment)
where coalesce(from_items.mrr, 0) <> coalesce(from_days.mrr, 0)
  or coalesce(from_items.trial_mrr, 0) <> coalesce(from_days.trial_mrr, 0)
