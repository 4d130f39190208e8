-- Undoing names an action of the same customer that was written before, and no undoing.
select undone.event_id, undone.undoes
from {{ ref('stg_app__customer_actions') }} as undone
left join {{ ref('stg_app__customer_actions') }} as done
  on done.event_id = undone.undoes
  and done.customer_id = undone.customer_id
  and done.recorded_at <= undone.recorded_at
  and done.action <> 'undone'
where undone.action = 'undone' and done.event_id is null
