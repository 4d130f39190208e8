{{ config(materialized='view') }}
-- Expanded on reading from the spells: what each customer pays at the close of a month, at the rates of that day. The sum
-- over customers is the closing MRR of the month, also where rates move.
with spells as (
  select
    customer_id,
    currency,
    mrr_native,
    {{ snapshot_month('valid_from') }} as month,
    {{ snapshot_month('valid_to') }} as until_month
  from {{ ref('fct_mrr_spells') }}
)
select
  spells.customer_id,
  rates.month,
  rates.amount_currency as currency,
  sum(spells.mrr_native * rates.closing_rate)::decimal(38, 16) as closing_mrr
from spells
join {{ ref('int_month_rates') }} as rates
  on rates.currency = spells.currency
  and rates.month >= spells.month
  and (spells.until_month is null or rates.month < spells.until_month)
group by spells.customer_id, rates.month, rates.amount_currency
