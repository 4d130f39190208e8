-- What the CRM logged about customers by the as-of day, a customer's activities together. An activity belongs to whoever its
-- account named on that day.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
-- the versions that name a customer tile all days, as the attributes of customers do
accounts as (
  select
    account_id,
    customer_id,
    case when lag(valid_from) over by_day is null then date '0001-01-01' else valid_from end as valid_from,
    coalesce(lead(valid_from) over by_day, date '9999-12-31') as valid_to
  from {{ ref('stg_crm__accounts') }}
  where customer_id is not null
  window by_day as (partition by account_id order by valid_from)
),
owned as (
  select
    activities.activity_id,
    accounts.customer_id,
    activities.account_id,
    activities.kind,
    activities.happened_on,
    activities.happened_at
  from {{ ref('stg_crm__activities') }} as activities
  join accounts
    on accounts.account_id = activities.account_id
    and accounts.valid_from <= activities.happened_on
    and activities.happened_on < accounts.valid_to
  cross join build
  where activities.happened_on <= build.as_of
)
select * from owned order by customer_id, happened_at, activity_id
