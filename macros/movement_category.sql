{# Rule 1 of the movements: what a balance before and after is called. A balance of 0 is still a customer where it is
   held. gap_days counts the days without MRR before a return; a return after a longer gap than the policy allows is
   new. Below 0 is who came within the month and went over to another customer with more than it opened with. #}
{% macro movement_category(opening, closing, opening_held, closing_held, had_mrr_before, gap_days) -%}
case
    when {{ opening }} = {{ closing }} and ({{ closing }} > 0 or ({{ opening_held }}) = ({{ closing_held }})) then 'none'
    when {{ opening }} <= 0
      and not ({{ opening_held }})
      and {{ had_mrr_before }}
      and coalesce({{ gap_days }} <= (select new_after_gap_days from {{ ref('stg_meta__policy') }}), true) then 'reactivation'
    when {{ opening }} <= 0 and not ({{ opening_held }}) then 'new'
    when {{ closing }} = 0 and not ({{ closing_held }}) then 'churn'
    when {{ closing }} > {{ opening }} then 'expansion'
    else 'contraction'
  end
{%- endmacro %}
