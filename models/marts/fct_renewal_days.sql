-- A renewal is what of one subscription ends its term on one day: its items are decided together.
with renewals as (
  select
    subscription_id,
    customer_id,
    due_on,
    outcome,
    amount_currency as currency,
    segment,
    coalesce(bool_and(auto_renew), false) as is_automatic,
    sum(mrr_before_constant) as mrr
  from {{ ref('fct_renewals') }}
  group by subscription_id, customer_id, due_on, outcome, amount_currency, segment
)
select
  due_on,
  outcome,
  currency,
  segment,
  is_automatic,
  count(*) as renewals,
  sum(mrr)::decimal(38, 16) as mrr
from renewals
group by due_on, outcome, currency, segment, is_automatic
