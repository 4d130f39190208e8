-- Customers at risk and what became of their MRR, by plan class and tenure band at the opening of the month. A month in
-- which a term of the customer ends is counted apart; so are ends, by the months of notice: of a customer's end as long
-- as all that it paid for was canceled.
with due_customers as (
  select distinct customer_id, currency, due_month as month
  from {{ ref('int_forecast_items') }}
  where from_month < due_month and until_month >= due_month
),
stretches as (
  select currency, segment, plan_class, since_month, month, until_month, count(*) as customers, sum(closing_mrr) as mrr
  from {{ ref('int_forecast_changes') }}
  where closing_mrr > 0
  group by currency, segment, plan_class, since_month, month, until_month
),
at_risk as (
  select
    stretches.currency,
    stretches.segment,
    months.month,
    stretches.plan_class,
    {{ months_between('stretches.since_month', 'months.month') }} - 1 as age,
    false as is_due,
    stretches.customers as at_risk,
    stretches.mrr as opening_mrr
  from stretches
  join {{ ref('int_months') }} as months
    on months.month > stretches.month
    and months.month <= stretches.until_month
  where not months.is_provisional
),
due as (
  select
    due_customers.currency,
    changes.segment,
    due_customers.month,
    changes.plan_class,
    {{ months_between('changes.since_month', 'due_customers.month') }} - 1 as age,
    unnest([true, false]) as is_due,
    unnest([1, -1]) as at_risk,
    unnest([changes.closing_mrr, -changes.closing_mrr]) as opening_mrr
  from due_customers
  join {{ ref('int_forecast_changes') }} as changes
    on changes.customer_id = due_customers.customer_id
    and changes.currency = due_customers.currency
    and changes.month < due_customers.month
    and changes.until_month >= due_customers.month
  join {{ ref('int_months') }} as months on months.month = due_customers.month
  where changes.closing_mrr > 0 and not months.is_provisional
),
ended_items as (
  select
    changes.customer_id,
    changes.currency,
    changes.month,
    changes.opening_segment,
    changes.opening_plan_class,
    changes.opening_since_month,
    changes.category = 'churn' as is_last,
    items.mrr,
    coalesce({{ months_between('notices.known_from_month', 'changes.month') }}, 0) as notice_months
  from {{ ref('int_forecast_changes') }} as changes
  join {{ ref('int_forecast_items') }} as items
    on items.customer_id = changes.customer_id
    and items.currency = changes.currency
    and items.until_month = changes.month
  left join {{ ref('int_forecast_notices') }} as notices
    on notices.subscription_item_id = items.subscription_item_id
    and notices.cancel_month = changes.month
    and notices.known_until_month = changes.month
  where changes.opening_mrr > 0
),
notices as (
  select customer_id, currency, month, min(notice_months) as notice_months
  from ended_items
  where is_last
  group by customer_id, currency, month
),
-- what a customer that stays lost with notice is no contraction to those who knew
announced as (
  select
    currency,
    opening_segment as segment,
    month,
    opening_plan_class as plan_class,
    {{ months_between('opening_since_month', 'month') }} - 1 as age,
    false as is_due,
    unnest([0, notice_months]) as notice_months,
    unnest([mrr, -mrr]) as net_expansion_mrr
  from ended_items
  where not is_last and notice_months > 0
),
moved as (
  select
    changes.currency,
    changes.opening_segment as segment,
    changes.month,
    changes.opening_plan_class as plan_class,
    {{ months_between('changes.opening_since_month', 'changes.month') }} - 1 as age,
    due_customers.customer_id is not null as is_due,
    coalesce(notices.notice_months, 0) as notice_months,
    (changes.category = 'churn' and changes.opening_mrr > 0)::integer as ended,
    case when changes.category = 'churn' then -changes.delta else 0 end as lost_mrr,
    case when changes.category in ('expansion', 'contraction') then changes.delta else 0 end as net_expansion_mrr
  from {{ ref('int_forecast_changes') }} as changes
  left join due_customers
    on due_customers.customer_id = changes.customer_id
    and due_customers.currency = changes.currency
    and due_customers.month = changes.month
  left join notices
    on notices.customer_id = changes.customer_id
    and notices.currency = changes.currency
    and notices.month = changes.month
  where changes.category in ('churn', 'expansion', 'contraction')
),
entered as (
  select
    currency,
    segment,
    month,
    plan_class,
    0 as age,
    false as is_due,
    case when category = 'new' then delta else 0 end as new_mrr,
    case when category = 'reactivation' then delta else 0 end as reactivated_mrr
  from {{ ref('int_forecast_changes') }}
  where category in ('new', 'reactivation')
),
parts as (
  select * from at_risk
  union all by name
  select * from due
  union all by name
  select * from moved
  union all by name
  select * from announced
  union all by name
  select * from entered
),
cells as (
  select * replace (unnest(['all', segment]) as segment) from parts
)
select
  currency,
  segment,
  month,
  plan_class,
  {{ tenure_from('age') }} as tenure_from,
  is_due,
  coalesce(notice_months, 0) as notice_months,
  coalesce(sum(at_risk), 0)::bigint as at_risk,
  coalesce(sum(ended), 0)::bigint as ended,
  {% for part in ['opening', 'lost', 'net_expansion', 'new', 'reactivated'] -%}
  coalesce(sum({{ part }}_mrr), 0)::decimal(38, 16) as {{ part }}_mrr{{ ',' if not loop.last }}
  {% endfor %}
from cells
group by all
