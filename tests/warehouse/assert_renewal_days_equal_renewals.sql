-- The days hold each renewal once, with all of its MRR: one by one, and parted by whether it renews by itself.
with automatic as (
  select subscription_id, customer_id, due_on, outcome, amount_currency
  from {{ ref('fct_renewals') }}
  group by subscription_id, customer_id, due_on, outcome, amount_currency
  having max(auto_renew::integer) = 1 and min(auto_renew::integer) = 1
),
renewals as (
  select
    due_on, outcome, amount_currency as currency, segment,
    count(distinct (subscription_id, customer_id)) as renewals,
    sum(mrr_before_constant) as mrr
  from {{ ref('fct_renewals') }}
  group by due_on, outcome, amount_currency, segment
),
days as (
  select due_on, outcome, currency, segment, sum(renewals) as renewals, sum(mrr) as mrr
  from {{ ref('fct_renewal_days') }}
  group by due_on, outcome, currency, segment
)
select due_on, outcome, currency, segment
from renewals
full join days using (due_on, outcome, currency, segment)
where renewals.renewals is distinct from days.renewals or renewals.mrr is distinct from days.mrr
union all
select null, 'automatic', null, null
where (select count(*) from automatic)
  is distinct from (
    select coalesce(sum(renewals), 0) from {{ ref('fct_renewal_days') }} where is_automatic
  )
