-- MRR by what its hazard depends on. While a cancellation is known, its MRR stands under the month it takes effect.
with parts as (
  select
    customer_id, currency, from_month, until_month, due_month, term_months, null::date as cancel_month, mrr
  from {{ ref('int_forecast_items') }}
  union all
  select
    items.customer_id,
    items.currency,
    greatest(items.from_month, standing.known_from_month) as from_month,
    least(items.until_month, standing.known_until_month) as until_month,
    items.due_month,
    items.term_months,
    unnest([null, standing.cancel_month]) as cancel_month,
    unnest([-items.mrr, items.mrr]) as mrr
  from {{ ref('int_forecast_items') }} as items
  join {{ ref('int_forecast_notices') }} as standing
    on standing.subscription_item_id = items.subscription_item_id
    and standing.known_from_month < items.until_month
    and items.from_month < standing.known_until_month
),
balances as (
  select
    parts.currency,
    unnest(['all', changes.segment]) as segment,
    changes.plan_class,
    changes.since_month,
    parts.due_month,
    parts.term_months,
    parts.cancel_month,
    greatest(parts.from_month, changes.month) as from_month,
    least(parts.until_month, changes.until_month) as until_month,
    parts.mrr
  from parts
  join {{ ref('int_forecast_changes') }} as changes
    on changes.customer_id = parts.customer_id
    and changes.currency = parts.currency
    and changes.month < parts.until_month
    and parts.from_month < changes.until_month
  where changes.closing_mrr > 0
)
select * replace (sum(mrr)::decimal(38, 16) as mrr)
from balances
group by all
