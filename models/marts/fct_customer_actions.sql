-- What was done about customers, each action with who took it back and when. Undoing is an event of its own.
with events as (
  select * from {{ ref('stg_app__customer_actions') }}
),
undone as (
  select
    undoes as event_id,
    min(recorded_at) as undone_at,
    arg_min(recorded_by, recorded_at) as undone_by
  from events
  where action = 'undone'
  group by undoes
)
select
  events.event_id,
  events.customer_id,
  events.action,
  events.owner,
  events.until_on,
  events.channel,
  events.outcome,
  events.note,
  events.contacted_at,
  events.next_on,
  events.as_of,
  events.model_id,
  events.play,
  events.recorded_by,
  events.recorded_at,
  undone.event_id is not null as is_undone,
  undone.undone_by,
  undone.undone_at
from events
left join undone on undone.event_id = events.event_id
where events.action <> 'undone'
