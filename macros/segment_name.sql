{# A segment as figures name it. 'all' stands for all of them together, so one that is itself called that reads "all", with
   the quotation marks, and one that reads so already gets another pair: no two segments become one. #}
{% macro segment_name(segment) -%}
case when regexp_full_match({{ segment }}, '"*all"*') then '"' || {{ segment }} || '"' else {{ segment }} end
{%- endmacro %}
