-- A month can be judged once the last of its customers has been watched for 90 days.
with months as (
  select
    cohort_month,
    count(*) as customers,
    count(*) filter (days_to_second <= 90) as returned_customers
  from {{ ref('fct_second_orders') }}
  group by cohort_month
)
select
  months.*,
  ({{ add_months('months.cohort_month', 1) }}) - 1 + 90 <= build.as_of as is_watched
from months
cross join {{ ref('stg_meta__build') }} as build
