-- Closing MRR and its timing are the balances of the log over all days of the month, those to come counting nothing.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
balances as (
  select
    currency,
    closing_mrr_native,
    balances.day as from_day,
    least(
      coalesce(lead(balances.day) over (partition by currency, segment order by balances.day), date '9999-12-31'),
      build.as_of + 1
    ) as to_day
  from {{ ref('fct_mrr_days') }} as balances
  cross join build
),
months as (
  select month, (month + interval 1 month)::date as month_end
  from (select month from {{ ref('int_months') }} union select month from {{ ref('fct_reconciliation') }})
),
summed as (
  select
    months.month,
    balances.currency,
    sum(
      balances.closing_mrr_native::decimal(38, 6)
      * (least(balances.to_day, months.month_end) - greatest(balances.from_day, months.month))
    ) as mrr_days
  from balances
  join months
    on months.month < balances.to_day
    and months.month_end > balances.from_day
  where balances.from_day < balances.to_day
  group by months.month, balances.currency
),
walks as (
  select month, currency, sum(amount) as average_mrr
  from {{ ref('fct_reconciliation') }}
  where step in ('closing_mrr', 'timing')
  group by month, currency
)
select *
from walks
full join summed using (month, currency)
where abs(
  coalesce(summed.mrr_days, 0) - coalesce(walks.average_mrr, 0) * ((month + interval 1 month)::date - month)
) > 0.0001
