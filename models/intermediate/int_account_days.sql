-- One row per as-of day of the account snapshots: every month end from the first month in which a price was agreed, and
-- the build's as-of day.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
span as (
  select min(valid_from) as first_on
  from {{ ref('stg_billing__subscription_versions_known') }}
  where recurring_minor > 0 and status not in ('trialing', 'canceled')
),
months as (
  select unnest(generate_series(date_trunc('month', span.first_on), build.as_of, interval 1 month))::date as month
  from span
  cross join build
  where span.first_on is not null
)
select {{ add_months('month', 1) }} - 1 as as_of, true as is_month_end
from months
cross join build
where {{ add_months('month', 1) }} - 1 <= build.as_of
union
select build.as_of, {{ add_months("date_trunc('month', build.as_of)::date", 1) }} - 1 = build.as_of
from build
cross join span
where span.first_on <= build.as_of
