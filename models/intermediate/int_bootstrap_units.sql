-- One row per customer that stands behind an amount: the unit it is drawn with. Up to 4,000 customers each is a unit of
-- its own; more are drawn in 500 groups by the hash of their id, so that the work does not grow with them.
with customers as (
  select customer_id from {{ ref('fct_customer_month_changes') }}
  union
  select customer_id from {{ ref('fct_renewals') }}
  union
  select customer_id from {{ ref('fct_dunning') }}
),
with_units as (
  select
    customer_id,
    case
      when count(*) over () <= 4000 then 'customer ' || customer_id
      else 'group ' || md5_number_lower(customer_id) % 500
    end as unit_id
  from customers
),
units as (
  select unit_id, row_number() over (order by unit_id) as unit_no
  from (select distinct unit_id from with_units) as distinct_units
)
select with_units.customer_id, units.unit_id, units.unit_no
from with_units
join units using (unit_id)
