{# The item that stands for the use of a subscription item where use is in MRR (policy usage). #}
{% macro item_of_use(subscription_item_id) -%}
{{ subscription_item_id }} || '/usage'
{%- endmacro %}
