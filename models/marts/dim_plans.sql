-- Plans of the catalogue, and those that only items name.
with named as (
  select distinct plan_id from {{ ref('int_item_versions') }}
)
select
  coalesce(plans.plan_id, named.plan_id) as plan_id,
  coalesce(plans.plan_name, named.plan_id) as plan_name,
  plans.plan_tier,
  coalesce(plans.is_add_on, false) as is_add_on
from {{ ref('stg_billing__plans') }} as plans
full join named using (plan_id)
