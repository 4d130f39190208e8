-- Figures of closed months that are not as they were first reported.
with prints as (
  select * from {{ ref('fct_metric_prints') }}
),
first_prints as (
  select *
  from prints
  qualify row_number() over (partition by metric_id, month, currency, segment order by printed_at, build_id) = 1
),
last_prints as (
  select *, count(*) over (partition by metric_id, month, currency, segment) as prints
  from prints
  qualify row_number() over (
    partition by metric_id, month, currency, segment order by printed_at desc, build_id desc
  ) = 1
)
select
  first_prints.metric_id,
  first_prints.month,
  first_prints.currency,
  first_prints.segment,
  first_prints.build_id as first_build_id,
  first_prints.printed_at as first_printed_at,
  first_prints.definition_version as first_definition_version,
  first_prints.numerator as first_numerator,
  first_prints.denominator as first_denominator,
  first_prints.value as first_value,
  last_prints.build_id as restated_build_id,
  last_prints.printed_at as restated_at,
  last_prints.definition_version as definition_version,
  last_prints.numerator,
  last_prints.denominator,
  last_prints.value,
  last_prints.value - first_prints.value as difference,
  (last_prints.prints - 1)::bigint as times_restated
from first_prints
join last_prints using (metric_id, month, currency, segment)
where last_prints.numerator is distinct from first_prints.numerator
  or last_prints.denominator is distinct from first_prints.denominator
