-- A customer's plan class and the month it has paid since, before and after each month with a change. Who paid when
-- the data begin has paid since it was created.
with span as (
  select min(month) as first_month from {{ ref('int_months') }}
),
created as (
  select customer_id, date_trunc('month', min(created_on))::date as created_month
  from {{ ref('int_customer_attributes') }}
  group by customer_id
),
classes as (
  select
    plan_id,
    coalesce(plan_tier, case when is_add_on then 'add_on' end, 'unclassified') as plan_class
  from {{ ref('dim_plans') }}
),
changes as (
  select *, {{ snapshot_month('paying_since_on') }} as paying_since_month
  from {{ ref('fct_customer_month_changes') }}
  where not is_provisional
),
aged as (
  select
    changes.*,
    case
      when changes.paying_since_month = span.first_month and created.created_month < span.first_month
        then created.created_month
      else changes.paying_since_month
    end as since_month
  from changes
  cross join span
  left join created using (customer_id)
)
select
  aged.customer_id,
  aged.currency,
  aged.month,
  aged.until_month,
  aged.category,
  aged.opening_mrr,
  aged.closing_mrr,
  aged.delta,
  coalesce(aged.opening_segment, aged.segment, 'unknown') as opening_segment,
  coalesce(before.plan_class, 'unclassified') as opening_plan_class,
  lag(aged.since_month) over (partition by aged.customer_id, aged.currency order by aged.month) as opening_since_month,
  coalesce(aged.segment, 'unknown') as segment,
  coalesce(after.plan_class, 'unclassified') as plan_class,
  aged.since_month
from aged
left join classes as before on before.plan_id = aged.opening_plan_id
left join classes as after on after.plan_id = aged.plan_id
