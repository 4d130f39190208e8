{# The customer that a billed customer's figures count for on a day, with its attributes of that day: joins
   int_customer_parents as `parents` and int_customer_attributes as `customers`. Test customers drop out. #}
{% macro join_customer_of_day(billed_customer, day) -%}
left join {{ ref('int_customer_parents') }} as parents
    on parents.customer_id = {{ billed_customer }}
    and parents.valid_from <= {{ day }}
    and parents.valid_to > {{ day }}
  join {{ ref('int_customer_attributes') }} as customers
    on customers.customer_id = coalesce(parents.unit_customer_id, {{ billed_customer }})
    and customers.valid_from <= {{ day }}
    and customers.valid_to > {{ day }}
    and not customers.is_test
{%- endmacro %}
