{# A table that an increment rebuilds in parts: the rows of what was touched are deleted and made anew, whole, and all
   others stay as they are. A full build, and a table that is not there yet, make the table of all rows. Which it is,
   pipelines/increment.py decides and writes into raw_meta.increment; the text of a model is the same for both.

   A model says in its `meta`:
     part      the column that its rows are deleted and rebuilt by
     touched   the relation that holds the touched values of that column (default: see touched_rows)
     reads     of a relation that it reads, the column by which only touched rows of it are read, or a condition, or
               'as touched': the rows that this build has just made anew. It is for speed alone: what is made of other
               rows is not written
     through   views that it reads, the outer one first: they are read as their text, so that `reads` may name what they
               are made from
     before    columns of the rows that go, kept for a table of sums
     stays     statements that bring the rows that stay to the new as-of day
   or, for a table of sums over customers, in place of part:
     sums      the columns that they are grouped by; all others add up, row_count among them

   Rows made anew, and those that went, are left in the schema `touched` until the build ends. #}
{% materialization in_parts, adapter='duckdb' %}
  {%- set existing = load_cached_relation(this) -%}
  {%- if existing is none or not existing.is_table or should_full_refresh() or not is_increment() -%}
    {{ return(materialization_table_duckdb()) }}
  {%- endif -%}
  {{ run_hooks(pre_hooks, inside_transaction=False) }}
  {{ run_hooks(pre_hooks, inside_transaction=True) }}
  {% call statement('main') -%}
    {{ rebuilt_parts(this.schema ~ '.' ~ this.identifier, sql, model['config']['meta'], texts_of_views(model['config']['meta'])) }}
  {%- endcall %}
  {{ run_hooks(post_hooks, inside_transaction=True) }}
  {{ adapter.commit() }}
  {{ run_hooks(post_hooks, inside_transaction=False) }}
  {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}

{# A view that an increment finds as it was left: the text of every model is then the same. #}
{% materialization view, adapter='duckdb' %}
  {%- set existing = load_cached_relation(this) -%}
  {%- if existing is none or not existing.is_view or should_full_refresh() or not is_increment() -%}
    {{ return(materialization_view_default()) }}
  {%- endif -%}
  {% call noop_statement('main', 'UNCHANGED') %}{% endcall %}
  {{ return({'relations': [this.incorporate(type='view')]}) }}
{% endmaterialization %}

{% macro is_increment() -%}
  {{ return(run_query('select count(*) from raw_meta.increment where is_open').columns[0].values()[0] > 0) }}
{%- endmacro %}

{# What the views that a model reads through select, by schema and name. #}
{% macro texts_of_views(meta) -%}
  {%- set texts = {} -%}
  {%- if meta.get('through') -%}
    {%- set rows = run_query("select schema_name || '.' || view_name, sql from duckdb_views() where not internal").rows -%}
    {%- for row in rows -%}
      {%- do texts.update({row[0]: row[1].split(' AS ', 1)[1].rstrip().rstrip(';')}) -%}
    {%- endfor -%}
  {%- endif -%}
  {{ return(texts) }}
{%- endmacro %}
