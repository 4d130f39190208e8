{# Arithmetic of monthly rates: whole numbers until one rounding, half up, to six places. #}

{# A factor written '52/12' or '4.33' as a list [numerator, denominator]. #}
{% macro as_fraction(column) -%}
case
      when contains({{ column }}, '/')
        then [split_part({{ column }}, '/', 1)::bigint, split_part({{ column }}, '/', 2)::bigint]
      when contains({{ column }}, '.')
        then [replace({{ column }}, '.', '')::bigint, (10 ** length(split_part({{ column }}, '.', 2)))::bigint]
      else [{{ column }}::bigint, 1::bigint]
    end
{%- endmacro %}

{# Minor units a month as DECIMAL(18,6), from an amount in units of 10^-12 minor and the factor n/d to the month. #}
{% macro monthly_rate(amount_e12, n, d) -%}
(((2 * {{ amount_e12 }} * {{ n }} + {{ d }} * 1000000::hugeint) // (2 * {{ d }} * 1000000::hugeint))::decimal(19, 0)
      * 0.000001::decimal(7, 6))::decimal(18, 6)
{%- endmacro %}

{# An amount in units of 10^-12 minor less a list of discounts (taken_ppm, taken_minor, amount_e12), one after the
   other, never below zero. A share is rounded half up to 10^-12 minor. #}
{% macro discounted(amount_e12, discounts) -%}
list_reduce(
      list_prepend({'taken_ppm': 0::bigint, 'taken_minor': 0::bigint, 'amount_e12': {{ amount_e12 }}}, {{ discounts }}),
      lambda before, discount: {
        'taken_ppm': discount.taken_ppm,
        'taken_minor': discount.taken_minor,
        'amount_e12': greatest(
          (before.amount_e12 * (1000000 - discount.taken_ppm) * 2 + 1000000) // 2000000
            - discount.taken_minor * 1000000000000::hugeint,
          0::hugeint)
      }
    ).amount_e12
{%- endmacro %}
