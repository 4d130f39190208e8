-- What the segments bring sums to the row of all segments.
select
  month,
  currency
from {{ ref('fct_unit_economics') }}
group by month, currency
having sum(case when segment = 'all' then -closing_mrr else closing_mrr end) <> 0
  or sum(case when segment = 'all' then -closing_customers else closing_customers end) <> 0
  or sum(case when segment = 'all' then -new_mrr else new_mrr end) <> 0
  or sum(case when segment = 'all' then -new_customers else new_customers end) <> 0
  or abs(sum(case when segment = 'all' then -margin_mrr else margin_mrr end)) > 0.000000000001 * count(*)
    and count(*) filter (where margin_mrr is null) = 0
