{# Generic data tests used by the yml files of all layers. #}

{% test unique_key(model, columns) %}
-- The columns together are the grain: no two rows agree in all of them.
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}

{% test filled(model, columns) %}
{{ config(fail_calc = 'coalesce(sum(null_rows), 0)') }}
-- Every row has a value in each of these columns: one pass over the model, a row for each column that lacks some.
select column_name, null_rows
from (
    select
        {% for column in columns %}
        count(*) - count({{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ model }}
)
unpivot (null_rows for column_name in ({{ columns | join(', ') }}))
where null_rows > 0
{% endtest %}
