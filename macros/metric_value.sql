{# One metric as a row: its parts, who stands behind it, and what to say when it cannot be computed: a word, or an
   expression that tells which. #}
{% macro metric_value(metric_id, numerator, denominator, customers, why_null='', reason=none) -%}
{
        'metric_id': '{{ metric_id }}',
        'numerator': ({{ numerator }})::decimal(38, 16),
        'denominator': {% if denominator is none %}null{% else %}({{ denominator }}){% endif %}::decimal(38, 16),
        'customers': ({{ customers }})::bigint,
        'why_null': {{ reason or ("'" ~ why_null ~ "'" if why_null else 'null') }}::varchar
      }
{%- endmacro %}
