-- From closing MRR to recognised revenue nothing is lost between the steps: what is left unexplained is their difference.
with walks as (
  select
    month,
    currency,
    sum(amount) filter (where step = 'closing_mrr') as closing_mrr,
    sum(amount) filter (where kind = 'change') as changes,
    sum(amount) filter (where kind = 'unexplained') as unexplained
  from {{ ref('fct_reconciliation') }}
  where walk = 'mrr_to_recognised'
  group by month, currency
),
mrr as (
  select month, currency, sum(closing_mrr_native) as closing_mrr
  from {{ ref('fct_mrr_months') }}
  group by month, currency
),
revenue as (
  select month, currency, sum(recognised_minor) as recognised
  from {{ ref('fct_revenue_months') }}
  group by month, currency
)
select *
from walks
full join mrr using (month, currency)
full join revenue using (month, currency)
where coalesce(walks.closing_mrr, 0) <> coalesce(mrr.closing_mrr, 0)
  or coalesce(walks.closing_mrr + walks.changes + walks.unexplained, 0) <> coalesce(revenue.recognised, 0)
