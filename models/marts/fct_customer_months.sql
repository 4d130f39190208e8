{{ config(materialized='view') }}
-- Expanded on reading from the changes: a customer's row holds until the next one.
with changes as (
  select
    *,
    min(month) filter (where closing_mrr > 0) over (partition by customer_id, currency) as first_paying_month
  from {{ ref('fct_customer_month_changes') }}
)
select
  changes.customer_id,
  months.month,
  changes.currency,
  case when months.month = changes.month then changes.opening_mrr else changes.closing_mrr end as opening_mrr,
  changes.closing_mrr,
  case when months.month = changes.month then changes.transferred_mrr else 0 end::decimal(38, 16) as transferred_mrr,
  case when months.month = changes.month then changes.delta else 0 end::decimal(38, 16) as delta,
  case when months.month = changes.month then changes.transferred_booked else 0 end::decimal(38, 16)
    as transferred_booked,
  case when months.month = changes.month then changes.delta_booked else 0 end::decimal(38, 16) as delta_booked,
  case when months.month = changes.month then changes.category else 'none' end as category,
  case when months.month = changes.month then changes.main_reason end as main_reason,
  case when months.month = changes.month then changes.cause end as cause,
  changes.segment,
  changes.plan_id,
  changes.acquisition_channel,
  months.is_provisional
from {{ ref('int_months') }} as months
join changes
  on changes.month <= months.month
  and changes.until_month > months.month
where months.month >= changes.first_paying_month
