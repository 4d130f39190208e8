{# Intervals of 95 %. What they mean and where they end: docs/intervals.md. #}

{# The normal deviate that leaves 2.5 % on either side. #}
{% macro z_95() -%}
1.959963984540054::double
{%- endmacro %}

{# Wilson's score interval of `hits` out of `total` as {low, high}; null where these are not the parts of a share. #}
{% macro wilson(hits, total) -%}
{% set reach -%}
{{ z_95() }} * sqrt({{ hits }}::double * ({{ total }} - {{ hits }})::double / {{ total }}::double
            + {{ z_95() }} * {{ z_95() }} / 4)
{%- endset -%}
{% set centre -%}
{{ hits }}::double + {{ z_95() }} * {{ z_95() }} / 2
{%- endset -%}
case
      when {{ total }} > 0 and {{ hits }} between 0 and {{ total }} then {
        'low': case
          when {{ hits }} = 0 then 0
          else ({{ centre }} - {{ reach }}) / ({{ total }}::double + {{ z_95() }} * {{ z_95() }})
        end,
        'high': case
          when {{ hits }} = {{ total }} then 1
          else ({{ centre }} + {{ reach }}) / ({{ total }}::double + {{ z_95() }} * {{ z_95() }})
        end
      }
    end
{%- endmacro %}

{# How often a unit is in a draw: Poisson of mean 1, by its distribution function at a whole number below 2^32. #}
{% macro poisson_weight(number) -%}
case
        when {{ number }} < 1580030169 then 0
        when {{ number }} < 3160060337 then 1
        when {{ number }} < 3950075422 then 2
        when {{ number }} < 4213413783 then 3
        when {{ number }} < 4279248374 then 4
        when {{ number }} < 4292415292 then 5
        when {{ number }} < 4294609778 then 6
        when {{ number }} < 4294923276 then 7
        when {{ number }} < 4294962463 then 8
        when {{ number }} < 4294966817 then 9
        when {{ number }} < 4294967253 then 10
        when {{ number }} < 4294967292 then 11
        else 12
      end::double
{%- endmacro %}

{# Of a figure of draws the middle 95 % as [low, high]; a draw that cannot be computed is left out. #}
{% macro middle_of_draws(figure, draw_no) -%}
quantile_cont({{ figure }}, [0.025, 0.975]) filter (where {{ draw_no }} > 0)
{%- endmacro %}
