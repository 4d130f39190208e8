-- What is forecast from stands in cells that add up to the MRR of the month.
with balances as (
  select balances.currency, balances.segment, months.month, sum(balances.mrr) as mrr
  from {{ ref('int_forecast_balances') }} as balances
  join {{ ref('int_months') }} as months
    on months.month >= balances.from_month
    and months.month < balances.until_month
  where not months.is_provisional
  group by balances.currency, balances.segment, months.month
)
select totals.currency, totals.segment, totals.month, totals.closing_mrr, balances.mrr
from {{ ref('int_forecast_totals') }} as totals
full join balances using (currency, segment, month)
where coalesce(totals.closing_mrr, 0) <> coalesce(balances.mrr, 0)
