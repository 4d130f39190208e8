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

{# The factor n/d from one interval's amount to a month, by a policy row that stands in the query; null: no interval. #}
{% macro month_factor_n(billing_interval) -%}
case {{ billing_interval }}
      when 'month' then 1
      when 'year' then 1
      when 'week' then policy.week_n
      when 'day' then policy.day_n
    end::hugeint
{%- endmacro %}

{% macro month_factor_d(billing_interval, interval_count) -%}
case {{ billing_interval }}
      when 'month' then 1
      when 'year' then 12
      when 'week' then policy.week_d
      when 'day' then policy.day_d
    end::hugeint * {{ interval_count }}
{%- endmacro %}

{# Why a stretch of service is not in MRR, by a policy row that stands in the query and the columns status, factor_d,
   net_mrr and list_mrr; null: it is. #}
{% macro why_not_in_mrr(is_late) -%}
case
      when status = 'canceled' then 'canceled'
      when status = 'trialing' and policy.trials = 'out' then 'trial'
      when status = 'paused' and policy.pause <> 'pause_ignored' then 'paused'
      when status in ('unpaid', 'incomplete') and policy.unpaid_incomplete = 'out' then status
      when factor_d is null then 'one_time'
      when status in ('active', 'past_due', 'renewal_pending') and {{ is_late }} then 'past_due'
      when net_mrr < 1 and list_mrr >= 1 then 'fully_discounted'
      when net_mrr < 1 then 'no_amount'
    end
{%- endmacro %}
