-- What left cells entered others. At constant rates they cancel out over all cells of a month, in each currency but for
-- what customers exchanged: those who moved in two currencies, which net to nothing on a day or in the month.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
cells as (
  select month, currency, amount_currency, sum(entered_mrr_native + left_mrr_native) as rest
  from {{ ref('fct_mrr_months') }}
  group by month, currency, amount_currency
),
of_several_currencies as (
  select customer_id, amount_currency, month
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr'
    and movement_on <= (select as_of from build)
    and month <= (select as_of_month from build)
  group by customer_id, amount_currency, month
  having min(currency) <> max(currency)
),
exchanged as (
  select movements.month, movements.currency, sum(movements.delta_native) as rest
  from of_several_currencies
  join {{ ref('fct_mrr_movements') }} as movements using (customer_id, amount_currency, month)
  join {{ ref('fct_customer_month_changes') }} as changes
    on changes.customer_id = movements.customer_id
    and changes.currency = movements.amount_currency
    and changes.month = movements.month
  where movements.measure = 'mrr'
    and movements.movement_on <= (select as_of from build)
    -- a transfer leaves and enters within its currency
    and movements.reason not like 'left\_%' escape '\'
    and movements.reason not like 'entered\_%' escape '\'
    and (
      movements.category in ('left', 'entered')
      or changes.category = 'none' and (select month_netting from {{ ref('stg_meta__policy') }}) = 'one_category'
    )
  group by movements.month, movements.currency
)
select cells.month, cells.currency, cells.rest, coalesce(exchanged.rest, 0) as exchanged
from cells
left join exchanged using (month, currency)
where cells.rest <> coalesce(exchanged.rest, 0)
union all
select cells.month, cells.amount_currency, sum(cells.rest * rates.constant_rate), 0
from cells
join {{ ref('int_rates') }} as rates using (currency)
group by cells.month, cells.amount_currency
having sum(cells.rest * rates.constant_rate) <> 0
union all
-- what enters a cell is never negative, what leaves one never positive
select month, currency, entered_mrr_native, left_mrr_native
from {{ ref('fct_mrr_months') }}
where entered_mrr_native < 0 or left_mrr_native > 0
