-- One row per customer that ever has a parent and stretch of days, with the customer its figures count for: the
-- parent of those days, or the customer itself. The stretches of a customer tile all days.
with parents as (
  select
    customer_id,
    valid_from,
    coalesce(valid_to, date '9999-12-31') as valid_to,
    parent_customer_id
  from {{ ref('stg_billing__customer_parents') }}
  where parent_customer_id is not null
),
-- the days before the first, between and after the parents
own_days as (
  select customer_id, lag(valid_to, 1, date '0001-01-01') over by_day as valid_from, valid_from as valid_to
  from parents
  window by_day as (partition by customer_id order by valid_from)
  union all
  select customer_id, max(valid_to) as valid_from, date '9999-12-31' as valid_to
  from parents
  group by customer_id
)
select customer_id, valid_from, valid_to, parent_customer_id as unit_customer_id from parents
union all
select customer_id, valid_from, valid_to, customer_id as unit_customer_id from own_days where valid_from < valid_to
