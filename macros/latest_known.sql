{# Of each key the row recorded last, among the rows known at the build's known_to. #}
{% macro latest_known(relation, key) -%}
select *
  from {{ relation }}
  where recorded_at <= (select known_to from {{ ref('stg_meta__build') }})
  qualify row_number() over (partition by {{ key | join(', ') }} order by recorded_at desc, load_id desc) = 1
{%- endmacro %}
