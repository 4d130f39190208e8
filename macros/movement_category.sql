{# Rule 1 of the movements: what a balance before and after is called. gap_days counts the days without MRR before a
   return; a return after a longer gap than the policy allows is new. #}
{% macro movement_category(opening, closing, had_mrr_before, gap_days) -%}
case
    when {{ opening }} = {{ closing }} then 'none'
    when {{ opening }} = 0
      and {{ had_mrr_before }}
      and coalesce({{ gap_days }} <= (select new_after_gap_days from {{ ref('stg_meta__policy') }}), true) then 'reactivation'
    when {{ opening }} = 0 then 'new'
    when {{ closing }} = 0 then 'churn'
    when {{ closing }} > {{ opening }} then 'expansion'
    else 'contraction'
  end
{%- endmacro %}
