-- One row per customer, amount currency and month with a change: the one cell the customer is counted in at the close,
-- the one with its largest MRR (ties by plan, then segment, channel, currency); null at zero.
with cell_changes as (
  select
    customer_id,
    amount_currency,
    month,
    {'plan_id': plan_id, 'segment': segment, 'channel': acquisition_channel, 'currency': currency} as cell,
    sum(delta_constant) as delta
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr'
    and not is_scheduled
    and month <= (select as_of_month from {{ ref('stg_meta__build') }})
  group by customer_id, amount_currency, month, plan_id, segment, acquisition_channel, currency
),
customers as (
  select
    customer_id,
    amount_currency,
    min(cell) as first_cell,
    min(cell) = max(cell) as has_one_cell
  from cell_changes
  group by customer_id, amount_currency
),
months as (
  select distinct customer_id, amount_currency, month from cell_changes
),
-- customers of one cell need no search
searched as (
  select months.customer_id, months.amount_currency, months.month, cell_changes.cell, sum(cell_changes.delta) as mrr
  from months
  semi join (select * from customers where not has_one_cell) as several using (customer_id, amount_currency)
  join cell_changes
    on cell_changes.customer_id = months.customer_id
    and cell_changes.amount_currency = months.amount_currency
    and cell_changes.month <= months.month
  group by months.customer_id, months.amount_currency, months.month, cell_changes.cell
)
select months.customer_id, months.amount_currency, months.month, customers.first_cell as cell
from months
join customers using (customer_id, amount_currency)
where customers.has_one_cell
union all
select customer_id, amount_currency, month, first(cell order by mrr desc, cell) as cell
from searched
group by customer_id, amount_currency, month
