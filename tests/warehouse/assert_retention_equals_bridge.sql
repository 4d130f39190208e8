-- Over one month retention and the bridge of the same customers tell the same story: end = start + expansion +
-- contraction + churn + transfers between customers of the opening, at the constant rate. Booked
-- rates (policy fx_retention) move what was there besides; whom it lost, they do not change.
with by_customer as (
  select
    changes.month,
    changes.currency,
    sum(case when changes.opening_mrr > 0 or changes.opening_held then changes.closing_mrr - changes.opening_mrr else 0 end) as change,
    count(*) filter (
      where (changes.opening_mrr > 0 or changes.opening_held) and changes.closing_mrr = 0 and not changes.closing_held
    ) as lost
  from {{ ref('fct_customer_month_changes') }} as changes
  group by changes.month, changes.currency
),
retention as (
  select month, currency, sum(end_mrr - start_mrr) as change, sum(lost_customers) as lost
  from {{ ref('fct_retention') }}
  where window_months = 1
  group by month, currency
)
select *
from retention
left join by_customer using (month, currency)
where (retention.change <> coalesce(by_customer.change, 0) and (select fx_retention from {{ ref('stg_meta__policy') }}) = 'constant')
  or retention.lost <> coalesce(by_customer.lost, 0)
