-- Attributes by stretch of days, beside the parent of the as-of day.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
parents as (
  select customer_id, unit_customer_id as parent_customer_id
  from {{ ref('int_customer_parents') }}
  cross join build
  where valid_from <= as_of and valid_to > as_of and unit_customer_id <> customer_id
)
select
  attributes.customer_id,
  attributes.valid_from,
  nullif(attributes.valid_to, date '9999-12-31') as valid_to,
  attributes.valid_from <= build.as_of and attributes.valid_to > build.as_of as is_current,
  coalesce(attributes.name, attributes.customer_id) as name,
  attributes.country,
  attributes.currency,
  attributes.segment,
  attributes.acquisition_channel,
  attributes.account_id,
  attributes.owner,
  attributes.csm,
  attributes.stage,
  parents.parent_customer_id,
  attributes.created_on,
  attributes.is_test
from {{ ref('int_customer_attributes') }} as attributes
cross join build
left join parents using (customer_id)
