-- The spells valid on the day of a month's snapshot sum to the month, in every currency.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
days as (
  select months.month, least(months.snapshot_on, build.as_of) as day
  from {{ ref('int_months') }} as months
  cross join build
),
-- spells of the same days are valid together
spells as (
  select
    valid_from, coalesce(valid_to, date '9999-12-31') as valid_to, currency,
    sum(mrr_native) as mrr, sum(mrr_constant) as mrr_constant
  from {{ ref('fct_mrr_spells') }}
  group by valid_from, valid_to, currency
),
from_spells as (
  select days.month, spells.currency, sum(spells.mrr) as mrr, sum(spells.mrr_constant) as mrr_constant
  from days
  join spells
    on spells.valid_from <= days.day
    and spells.valid_to > days.day
  group by days.month, spells.currency
),
from_months as (
  select month, currency, sum(closing_mrr_native) as mrr, sum(closing_mrr_constant) as mrr_constant
  from {{ ref('fct_mrr_months') }}
  group by month, currency
)
select *
from from_spells
full join from_months using (month, currency)
where coalesce(from_spells.mrr, 0) <> coalesce(from_months.mrr, 0)
  or coalesce(from_spells.mrr_constant, 0) <> coalesce(from_months.mrr_constant, 0)
