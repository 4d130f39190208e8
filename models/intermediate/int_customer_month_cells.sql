{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'reads': {'marts.fct_mrr_movements': 'as touched'},
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
-- One row per customer, amount currency and month with a change: the one cell the customer is counted in at the close,
-- the one with its largest MRR (ties by plan, then segment, channel, currency); null at zero.
-- is_only_cell: the customer was never counted in another.
with steps as (
  select customer_id, amount_currency, month, plan_id, segment, acquisition_channel, currency, delta_constant
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr'
    and not is_scheduled
    and month <= (select as_of_month from {{ ref('stg_meta__build') }})
),
customers as (
  select
    customer_id,
    amount_currency,
    {'plan_id': min(plan_id), 'segment': min(segment), 'channel': min(acquisition_channel), 'currency': min(currency)}
      as first_cell,
    min(plan_id) = max(plan_id)
      and min(segment) = max(segment)
      and min(acquisition_channel) = max(acquisition_channel)
      and min(currency) = max(currency) as has_one_cell
  from steps
  group by customer_id, amount_currency
),
-- customers of one cell need no search
cell_changes as (
  select
    customer_id,
    amount_currency,
    month,
    {'plan_id': plan_id, 'segment': segment, 'channel': acquisition_channel, 'currency': currency} as cell,
    sum(delta_constant) as delta
  from steps
  semi join (select * from customers where not has_one_cell) as several using (customer_id, amount_currency)
  group by customer_id, amount_currency, month, plan_id, segment, acquisition_channel, currency
),
cell_balances as (
  select
    customer_id,
    amount_currency,
    month as first_month,
    lead(month, 1, date '9999-12-01') over by_month as until_month,
    cell,
    sum(delta) over by_month as mrr
  from cell_changes
  window by_month as (partition by customer_id, amount_currency, cell order by month)
),
searched as (
  select months.customer_id, months.amount_currency, months.month, balances.cell, balances.mrr
  from (select distinct customer_id, amount_currency, month from cell_changes) as months
  join cell_balances as balances
    on balances.customer_id = months.customer_id
    and balances.amount_currency = months.amount_currency
    and balances.first_month <= months.month
    and balances.until_month > months.month
)
select months.customer_id, months.amount_currency, months.month, customers.first_cell as cell, true as is_only_cell
from (select distinct customer_id, amount_currency, month from steps) as months
join customers using (customer_id, amount_currency)
where customers.has_one_cell
union all
select customer_id, amount_currency, month, first(cell order by mrr desc, cell) as cell, false as is_only_cell
from searched
group by customer_id, amount_currency, month
