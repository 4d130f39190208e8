-- Running sums of the log between two changes of a customer's balance in one currency.
with item_changes as (
  select
    customer_id,
    currency,
    subscription_item_id,
    movement_on,
    sum(delta_native) as delta_native,
    sum(delta_constant) as delta_constant
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr' and not is_scheduled
  group by customer_id, currency, subscription_item_id, movement_on
),
item_balances as (
  select
    *,
    sum(delta_native) over (
      partition by customer_id, currency, subscription_item_id order by movement_on
    ) as balance
  from item_changes
),
changes as (
  select
    customer_id,
    currency,
    movement_on,
    sum(delta_native) as delta_native,
    sum(delta_constant) as delta_constant,
    sum((balance > 0)::integer - (balance - delta_native > 0)::integer) as items_delta
  from item_balances
  group by customer_id, currency, movement_on
),
balances as (
  select
    customer_id,
    currency,
    movement_on as valid_from,
    lead(movement_on) over by_day as valid_to,
    sum(delta_native) over by_day as mrr_native,
    sum(delta_constant) over by_day as mrr_constant,
    sum(items_delta) over by_day as items
  from changes
  window by_day as (partition by customer_id, currency order by movement_on)
)
select
  balances.customer_id,
  balances.currency,
  balances.valid_from,
  balances.valid_to,
  attributes.segment,
  balances.mrr_native::decimal(20, 6) as mrr_native,
  balances.mrr_constant::decimal(38, 16) as mrr_constant,
  balances.items::bigint as items
from balances
join {{ ref('int_customer_attributes') }} as attributes
  on attributes.customer_id = balances.customer_id
  and attributes.valid_from <= balances.valid_from
  and attributes.valid_to > balances.valid_from
where balances.mrr_native > 0
