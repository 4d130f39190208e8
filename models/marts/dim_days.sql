-- A calendar over all facts of subscriptions, invoices and orders.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
first_facts as (
  select min(valid_from) as fact_on from {{ ref('stg_billing__subscription_versions') }}
  union all
  select min(issued_on) as fact_on from {{ ref('stg_billing__invoices') }}
  union all
  select min(ordered_on) as fact_on from {{ ref('stg_orders__orders') }}
  union all
  select as_of as fact_on from build
),
days as (
  select
    unnest(generate_series(
      (select min(fact_on) from first_facts),
      make_date(year(build.as_of), 12, 31),
      interval 1 day))::date as day
  from build
)
select
  day,
  date_trunc('month', day)::date as month,
  date_trunc('quarter', day)::date as quarter,
  year(day)::integer as year,
  isodow(day)::integer as weekday,
  day = last_day(day) as is_month_end
from days
