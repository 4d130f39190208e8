-- Unless each movement has the rate of its own day, all of a month are booked at the rate that it opens with.
select movements.movement_on, movements.subscription_item_id, movements.delta_native, movements.delta_booked
from {{ ref('fct_mrr_movements') }} as movements
join {{ ref('int_month_rates') }} as rates using (month, currency)
cross join {{ ref('stg_meta__policy') }} as policy
where policy.fx_movements <> 'daily_rate'
  and not movements.is_scheduled
  and movements.delta_booked <> (movements.delta_native * rates.opening_rate)::decimal(38, 16)
