-- Balances are running sums over the months of a cell.
with cells as (
  select currency, segment, plan_id, acquisition_channel, min(month) as first_month
  from {{ ref('int_mrr_month_changes') }}
  group by currency, segment, plan_id, acquisition_channel
),
cell_months as (
  select
    months.month,
    months.is_provisional,
    cells.currency,
    cells.segment,
    cells.plan_id,
    cells.acquisition_channel,
    changes.* exclude (month, currency, segment, plan_id, acquisition_channel, row_count)
  from cells
  join {{ ref('int_months') }} as months on months.month >= cells.first_month
  left join {{ ref('int_mrr_month_changes') }} as changes
    on changes.month = months.month
    and changes.currency = cells.currency
    and changes.segment = cells.segment
    and changes.plan_id = cells.plan_id
    and changes.acquisition_channel = cells.acquisition_channel
),
running as (
  select
    * exclude (net_change, trial_change, discount_change, customers_change),
    coalesce(net_change, 0) as net_change,
    coalesce(sum(net_change) over by_month, 0)::decimal(20, 6) as closing,
    coalesce(sum(trial_change) over by_month, 0)::decimal(20, 6) as trial,
    coalesce(sum(discount_change) over by_month, 0)::decimal(20, 6) as discount,
    coalesce(sum(customers_change) over by_month, 0) as closing_customers,
    coalesce(customers_change, 0) as customers_change
  from cell_months
  window by_month as (partition by currency, segment, plan_id, acquisition_channel order by month)
)
select
  running.month,
  running.currency,
  running.segment,
  running.plan_id,
  running.acquisition_channel,
  (running.closing - running.net_change)::decimal(20, 6) as opening_mrr_native,
  {% for part in ['new', 'expansion', 'contraction', 'churn', 'reactivation', 'entered', 'left'] -%}
  coalesce(running.{{ part }}_mrr, 0)::decimal(20, 6) as {{ part }}_mrr_native,
  {% endfor -%}
  running.closing as closing_mrr_native,
  rates.amount_currency,
  ((running.closing - running.net_change)::decimal(20, 6) * rates.opening_rate)::decimal(38, 16) as opening_mrr,
  {% for part in ['new', 'expansion', 'contraction', 'churn', 'reactivation', 'entered', 'left'] -%}
  coalesce(running.{{ part }}_booked, 0)::decimal(38, 16) as {{ part }}_mrr,
  {% endfor -%}
  (running.closing * rates.closing_rate)::decimal(38, 16) as closing_mrr,
  (
    running.closing * rates.closing_rate - (running.closing - running.net_change)::decimal(20, 6) * rates.opening_rate
    - coalesce(running.net_booked, 0)
  )::decimal(38, 16) as fx_impact,
  (running.closing * rates.constant_rate)::decimal(38, 16) as closing_mrr_constant,
  ((running.closing + running.discount)::decimal(20, 6) * rates.closing_rate)::decimal(38, 16) as list_mrr,
  (running.trial * rates.closing_rate)::decimal(38, 16) as trial_mrr,
  (running.closing_customers - running.customers_change)::bigint as opening_customers,
  {% for part in ['new', 'reactivated', 'churned', 'entered', 'left'] -%}
  coalesce(running.{{ part }}_customers, 0)::bigint as {{ part }}_customers,
  {% endfor -%}
  running.closing_customers::bigint as closing_customers,
  {% for part in ['expanded', 'contracted', 'joined_and_left'] -%}
  coalesce(running.{{ part }}_customers, 0)::bigint as {{ part }}_customers,
  {% endfor -%}
  running.is_provisional
from running
join {{ ref('int_month_rates') }} as rates using (month, currency)
