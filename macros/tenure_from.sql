{# The first month of the tenure band that an age in months falls in. #}
{% macro tenure_from(age) -%}
case
      when {{ age }} >= 24 then 24
      when {{ age }} >= 12 then 12
      when {{ age }} >= 6 then 6
      when {{ age }} >= 3 then 3
      else 0
    end
{%- endmacro %}
