{# An amount of minor units spread evenly over days: a whole number of 10^-9 minor units a day, half away from zero. #}
{% macro per_day(amount_e9, days) -%}
(sign({{ amount_e9 }}) * ((2 * abs({{ amount_e9 }}) + {{ days }}) // (2 * {{ days }})))::hugeint
{%- endmacro %}

{# Minor units with six places, from 10^-9 minor units, half away from zero. #}
{% macro from_e9(amount_e9) -%}
({{ per_day(amount_e9, 1000) }}::decimal(31, 0) * 0.000001::decimal(7, 6))::decimal(38, 6)
{%- endmacro %}
