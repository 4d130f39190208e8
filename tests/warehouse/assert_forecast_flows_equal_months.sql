-- Cells open with the MRR of the month, and nobody ends who was not at risk.
select
  'opening' as part,
  flows.currency,
  flows.segment,
  flows.month,
  sum(flows.opening_mrr) as found,
  any_value(totals.opening_mrr) as expected
from {{ ref('int_forecast_flows') }} as flows
join {{ ref('int_forecast_totals') }} as totals
  on totals.currency = flows.currency
  and totals.segment = flows.segment
  and totals.month = flows.month
group by flows.currency, flows.segment, flows.month
having sum(flows.opening_mrr) <> any_value(totals.opening_mrr)
union all
select 'ended' as part, currency, segment, month, sum(ended) as found, sum(at_risk) as expected
from {{ ref('int_forecast_flows') }}
group by currency, segment, month, plan_class, tenure_from, is_due
having sum(ended) > sum(at_risk)
