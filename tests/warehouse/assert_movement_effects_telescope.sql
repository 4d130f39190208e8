-- Quantity, price and discount effects sum to the movement; a movement is never nothing; nothing scheduled is in the past.
select movements.*
from {{ ref('fct_mrr_movements') }} as movements
cross join {{ ref('stg_meta__build') }} as build
where movements.delta_native = 0
  or movements.is_scheduled <> (movements.movement_on > build.as_of)
  or movements.measure = 'mrr'
    and movements.reason not like 'left\_%' escape '\'
    and movements.reason not like 'entered\_%' escape '\'
    and movements.quantity_effect + movements.price_effect + movements.discount_effect <> movements.delta_native
