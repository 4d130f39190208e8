-- One row per as-of day and customer known by then: the paying customer it counts for, and the attributes of that day as
-- they were known on it.
with days as (
  select as_of from {{ ref('int_account_days') }}
),
billing as (
  select days.as_of, known.customer_id, known.country, known.segment, known.acquisition_channel, known.is_test
  from days
  join {{ ref('stg_billing__customers_known') }} as known
    on known.valid_from <= days.as_of and known.known_from <= days.as_of and days.as_of < known.known_until
  qualify row_number() over (partition by days.as_of, known.customer_id order by known.valid_from desc) = 1
),
-- of several accounts of one customer the one that opened first speaks; ties by id
accounts as (
  select
    days.as_of, known.customer_id, known.account_id, known.segment, known.acquisition_channel,
    min(known.valid_from) over (partition by days.as_of, known.account_id) as opened_on
  from days
  join {{ ref('stg_crm__accounts_known') }} as known
    on known.valid_from <= days.as_of and known.known_from <= days.as_of and days.as_of < known.known_until
  where known.customer_id is not null
  qualify row_number() over (partition by days.as_of, known.account_id order by known.valid_from desc) = 1
),
speaking as (
  select * from accounts
  qualify row_number() over (partition by as_of, customer_id order by opened_on, account_id) = 1
),
payers as (
  select distinct days.as_of, versions.customer_id
  from days
  join {{ ref('stg_billing__subscription_versions_known') }} as versions
    on versions.valid_from <= days.as_of and versions.known_from <= days.as_of and days.as_of < versions.known_until
  where not versions.is_deleted
),
parents as (
  select days.as_of, known.customer_id, known.parent_customer_id
  from days
  join {{ ref('stg_billing__customer_parents_known') }} as known
    on known.valid_from <= days.as_of and days.as_of < known.valid_to
    and known.known_from <= days.as_of and days.as_of < known.known_until
  where known.parent_customer_id is not null
),
customers as (
  select as_of, customer_id from payers
  union
  select as_of, customer_id from billing
  union
  select as_of, parent_customer_id from parents
)
select
  customers.as_of,
  customers.customer_id as billed_customer_id,
  coalesce(parents.parent_customer_id, customers.customer_id) as customer_id,
  coalesce(billing.is_test, false) as is_test,
  billing.country,
  coalesce(billing.segment, speaking.segment) as segment,
  coalesce(billing.acquisition_channel, speaking.acquisition_channel) as acquisition_channel,
  speaking.account_id is not null as has_account
from customers
left join parents using (as_of, customer_id)
left join billing using (as_of, customer_id)
left join speaking using (as_of, customer_id)
