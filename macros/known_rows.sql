{# All rows of a raw table, not only the newest of a key, each with the days on which it is what is known:
   known_from <= day < known_until. A row is known from the day it was recorded, in the reporting timezone. The first
   load of a source brings history that nobody had watched come in (is_history): its rows say nothing of when they
   became known, or name the day they were last touched. Their facts are known on their own days, which is for the
   reader to observe: known_from is then the beginning of time. #}
{% macro known_rows(relation, key) -%}
select
    rows_of_load.* exclude (place),
    case when is_history and place = 1 then date '0001-01-01' else recorded_on end as known_from,
    lead(recorded_on, 1, date '9999-12-31') over (partition by {{ key | join(', ') }} order by place) as known_until
  from (
    select
      given.*,
      (given.recorded_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date
        as recorded_on,
      coalesce(given.load_id, '') = first_load.load_id or given.recorded_at = first_load.last_recorded_at as is_history,
      first_load.first_recorded_at = first_load.last_recorded_at as is_undated,
      row_number() over (partition by {{ key | join(', ') }} order by given.recorded_at, given.load_id) as place
    from {{ relation }} as given
    join (
      select
        source_system, load_id, min(recorded_at) as first_recorded_at, max(recorded_at) as last_recorded_at
      from (
        select coalesce(source_system, '') as source_system, coalesce(load_id, '') as load_id, recorded_at
        from {{ relation }}
      ) as loads
      group by source_system, load_id
      qualify row_number() over (partition by source_system order by load_id) = 1
    ) as first_load on first_load.source_system = coalesce(given.source_system, '')
    where given.recorded_at <= (select known_to from {{ ref('stg_meta__build') }})
  ) as rows_of_load
{%- endmacro %}
