{# What an increment executes for a table that it rebuilds in parts (in_parts.sql says what `meta` holds). `sql` is the
   model's text, that of all rows; `views` are the texts of views by schema and name. #}
{% macro rebuilt_parts(name, sql, meta, views) -%}
{%- set arrived = 'touched.' ~ name.split('.')[1] -%}
{%- if 'sums' in meta -%}
{{ added_up(name, arrived, sql, meta) }}
{%- else -%}
{%- set is_touched = touched_rows(meta['part'], meta) -%}
create table {{ arrived }} as from {{ name }} limit 0;
insert into {{ arrived }} by name
select * from (
{{ reading_touched(sql, meta, views) }}
)
where {{ is_touched }};
{%- if 'before' in meta %}
create table {{ arrived }}_before as
select rowid as place, {{ meta['before'] | join(', ') }} from {{ name }} where {{ is_touched }};
{%- set is_touched = 'rowid in (select place from ' ~ arrived ~ '_before)' %}
{%- endif %}
delete from {{ name }} where {{ is_touched }};
{%- for statement in meta.get('stays', []) %}
{{ statement }};
{%- endfor %}
insert into {{ name }} from {{ arrived }};
{%- endif %}
{%- endmacro %}

{# A table of sums: what touched rows gave to them before goes, what they give now comes; a sum of no rows is none. #}
{% macro added_up(name, arrived, sql, meta) -%}
{%- set keys = meta['sums'] | join(', ') -%}
{%- set before = namespace(sql=in_place_of(sql, 'staging.stg_meta__build',
  '(select since_as_of as as_of, since_month as as_of_month from staging.stg_meta__increment)')) -%}
{%- for relation, which in meta['reads'].items() if which == 'as touched' -%}
  {%- set before.sql = in_place_of(before.sql, relation, 'touched.' ~ relation.split('.')[1] ~ '_before') -%}
{%- endfor -%}
create table {{ arrived }} as from {{ name }} limit 0;
insert into {{ arrived }} by name
select {{ keys }}, sum(columns(* exclude ({{ keys }})))
from (
  select * from {{ name }}
  union all by name
  select {{ keys }}, -columns(* exclude ({{ keys }})) from (
{{ reading_touched(before.sql, meta, {}) }}
  )
  union all by name
  select * from (
{{ reading_touched(sql, meta, {}) }}
  )
)
group by {{ keys }}
having sum(row_count) > 0;
delete from {{ name }};
insert into {{ name }} from {{ arrived }};
{%- endmacro %}

{# The condition that a row is one of what was touched. #}
{% macro touched_rows(column, meta) -%}
{{ column }} in (select {{ column }} from {{ meta.get('touched', 'intermediate.int_touched_customers') }})
{%- endmacro %}

{# The text of a model, reading only the touched rows of what it reads. #}
{% macro reading_touched(sql, meta, views) -%}
{%- set text = namespace(sql=sql) -%}
{%- for view in meta.get('through', []) if view in views -%}
  {%- set text.sql = in_place_of(text.sql, view, '(' ~ views[view] ~ '\n)') -%}
{%- endfor -%}
{%- for relation, which in meta.get('reads', {}).items() -%}
  {%- if which == 'as touched' -%}
    {%- set rows = 'touched.' ~ relation.split('.')[1] -%}
  {%- else -%}
    {%- set condition = which if ' ' in which else touched_rows(which, meta) -%}
    {%- set rows = '(select * from ' ~ relation ~ ' where ' ~ condition ~ ')' -%}
  {%- endif -%}
  {%- set text.sql = in_place_of(text.sql, relation, rows) -%}
{%- endfor -%}
{{ text.sql }}
{%- endmacro %}

{# A text with something else in place of a relation, which stands there with its catalog. #}
{% macro in_place_of(sql, relation, other) -%}
{%- set named = '"?warehouse"?[.]"?' ~ relation.replace('.', '"?[.]"?') ~ '"?(?!\\w)' -%}
{{ modules.re.split(named, sql) | join(other) }}
{%- endmacro %}
