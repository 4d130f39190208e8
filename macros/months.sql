{# Month arithmetic in one place. #}

{# First day of the month whose snapshot is the first to see a change on this day. #}
{% macro snapshot_month(day) -%}
case
      when (select snapshot from {{ ref('stg_meta__policy') }}) = 'month_start'
        then (date_trunc('month', {{ day }} - 1) + interval 1 month)::date
      else date_trunc('month', {{ day }})::date
    end
{%- endmacro %}

{# Last day that the snapshot of this month sees. #}
{% macro snapshot_day(month) -%}
case
      when (select snapshot from {{ ref('stg_meta__policy') }}) = 'month_start' then {{ month }}
      else ({{ month }} + interval 1 month)::date - 1
    end
{%- endmacro %}

{% macro add_months(month, count) -%}
({{ month }} + to_months(({{ count }})::integer))::date
{%- endmacro %}

{# The first of the days `anchor` + k * `months` months that lies after `day`, which is not before the anchor. #}
{% macro next_anniversary(anchor, months, day) -%}
{% set gone = '(' ~ months_between(anchor, day) ~ ' // ' ~ months ~ ') * ' ~ months -%}
case
      when {{ add_months(anchor, gone) }} > {{ day }} then {{ add_months(anchor, gone) }}
      else {{ add_months(anchor, gone ~ ' + ' ~ months) }}
    end
{%- endmacro %}

{% macro months_between(earlier, later) -%}
datediff('month', {{ earlier }}, {{ later }})
{%- endmacro %}
