-- Figures of closed months as builds printed them. A build adds a row where it printed another figure than the one
-- before it, or the first; a figure that is no more is printed as nothing.
with build as (
  select build_id, built_at from {{ ref('stg_meta__build') }}
),
policy as (
  select definition_version, policy_hash from {{ ref('stg_meta__policy') }}
),
kept as (
  select prints.*
  from {{ source('raw_history', 'metric_prints') }} as prints
  cross join build
  where prints.build_id <> build.build_id
),
last_prints as (
  select *
  from kept
  qualify row_number() over (
    partition by metric_id, month, currency, segment order by printed_at desc, build_id desc
  ) = 1
),
closed as (
  select metric_id, month, currency, segment, numerator, denominator, value
  from {{ ref('fct_metric_values') }}
  where not is_provisional
),
closed_months as (
  select month from {{ ref('int_report_months') }} where not is_provisional
),
gone as (
  select last_prints.metric_id, last_prints.month, last_prints.currency, last_prints.segment
  from last_prints
  semi join closed_months using (month)
  anti join closed using (metric_id, month, currency, segment)
),
printed as (
  select * from closed
  union all
  select
    metric_id, month, currency, segment,
    null::decimal(38, 16) as numerator, null::decimal(38, 16) as denominator, null::double as value
  from gone
),
added as (
  select printed.*
  from printed
  left join last_prints using (metric_id, month, currency, segment)
  where last_prints.build_id is null
    or printed.numerator is distinct from last_prints.numerator
    or printed.denominator is distinct from last_prints.denominator
)
select
  build_id, printed_at, definition_version, policy_hash, metric_id, month, currency, segment,
  numerator, denominator, value
from kept
union all
select
  build.build_id, build.built_at as printed_at, policy.definition_version, policy.policy_hash,
  added.metric_id, added.month, added.currency, added.segment, added.numerator, added.denominator, added.value
from added
cross join build
cross join policy
