{# Generic data tests used by the yml files of all layers. #}

{% test unique_key(model, columns) %}
-- The columns together are the grain: no two rows agree in all of them.
select {{ columns | join(', ') }}, count(*) as row_count
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
