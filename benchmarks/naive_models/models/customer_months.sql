-- One row per customer and month from its first month to the one after its last.
with months as (
  select unnest(generate_series(
    (select min(first_month) from {{ ref('subscription_periods') }}),
    date '{{ env_var("TAJDID_BENCH_LAST_MONTH") }}',
    interval 1 month
  ))::date as month
),
customers as (
  select
    customer_id,
    min(first_month) as first_month,
    max(until_month) as until_month
  from {{ ref('subscription_periods') }}
  group by customer_id
),
customer_spine as (
  select customers.customer_id, customers.first_month, months.month
  from customers
  join months on months.month >= customers.first_month and months.month <= customers.until_month
)
select
  customer_spine.customer_id,
  customer_spine.month,
  customer_spine.month = customer_spine.first_month as is_first_month,
  coalesce(periods.mrr, 0) as mrr
from customer_spine
left join {{ ref('subscription_periods') }} as periods
  on periods.customer_id = customer_spine.customer_id
  and customer_spine.month >= periods.first_month
  and customer_spine.month < periods.until_month
