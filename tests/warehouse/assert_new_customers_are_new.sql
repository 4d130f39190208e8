-- A customer is new once, when it first pays; every later return is a reactivation, unless the policy calls a return after
-- a long gap new. So in the log's days, and so in the months.
with policy as (
  select new_after_gap_days from {{ ref('stg_meta__policy') }}
),
customers as (
  select customer_id, amount_currency, min(changed_on) as first_paid_on, min(month) as first_paid_month
  from {{ ref('int_customer_days') }}
  where closing > 0
  group by customer_id, amount_currency
)
select days.customer_id, days.changed_on, days.category
from {{ ref('int_customer_days') }} as days
join customers using (customer_id, amount_currency)
cross join policy
where days.category = 'new' and days.changed_on > customers.first_paid_on and policy.new_after_gap_days is null
  or days.category = 'reactivation' and days.changed_on <= customers.first_paid_on
union all
select changes.customer_id, changes.month, changes.category
from {{ ref('fct_customer_month_changes') }} as changes
join customers on customers.customer_id = changes.customer_id and customers.amount_currency = changes.currency
cross join policy
where changes.category = 'new' and changes.month > customers.first_paid_month and policy.new_after_gap_days is null
  or changes.category = 'reactivation' and changes.month <= customers.first_paid_month
