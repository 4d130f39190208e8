-- One row per currency: the answer of the opportunity page.
with list as (
  select
    currency,
    count(*) as pairs,
    count(distinct customer_id) as customers,
    count(distinct sku) as skus,
    sum(potential_mrr)::decimal(38, 6) as potential_mrr,
    sum(expected_mrr)::decimal(38, 6) as expected_mrr,
    count(*) filter (expected_mrr is null) as unmeasured_pairs
  from {{ ref('fct_subscription_opportunity') }}
  group by currency
),
purchasers as (
  select
    currency,
    count(*) as purchasing_customers,
    count(*) filter (purchase_days >= 2) as repeat_customers
  from {{ ref('fct_customer_cadence') }}
  group by currency
),
measured as (
  select
    currency,
    coalesce(sum(pairs) filter (pair_kind = 'regular'), 0)::bigint as regular_pairs,
    coalesce(sum(hits) filter (pair_kind = 'regular'), 0)::bigint as regular_hits,
    coalesce(sum(pairs) filter (pair_kind = 'irregular'), 0)::bigint as irregular_pairs,
    coalesce(sum(hits) filter (pair_kind = 'irregular'), 0)::bigint as irregular_hits
  from {{ ref('fct_opportunity_hit_rates') }}
  where purchase_days_class = 'all'
  group by currency
),
revenue as (
  select
    as_of,
    currency,
    sum(revenue)::decimal(38, 6) as total_revenue,
    sum(revenue) filter (is_predictable)::decimal(38, 6) as predictable_revenue
  from {{ ref('fct_revenue_predictability') }}
  group by as_of, currency
),
answer as (
  select
    revenue.as_of,
    revenue.currency,
    coalesce(list.pairs, 0) as pairs,
    coalesce(list.customers, 0) as customers,
    coalesce(list.skus, 0) as skus,
    coalesce(purchasers.purchasing_customers, 0) as purchasing_customers,
    coalesce(purchasers.repeat_customers, 0) as repeat_customers,
    coalesce(list.potential_mrr, 0)::decimal(38, 6) as potential_mrr,
    list.expected_mrr,
    coalesce(list.unmeasured_pairs, 0) as unmeasured_pairs,
    revenue.total_revenue::bigint as goods_revenue_minor,
    revenue.predictable_revenue,
    case
      when revenue.total_revenue > 0
        then round(revenue.predictable_revenue::double * 10000 / revenue.total_revenue::double)::integer
    end as predictable_share_bp,
    revenue.as_of - 180 as measured_on,
    coalesce(measured.regular_pairs, 0)::bigint as regular_pairs,
    coalesce(measured.regular_hits, 0)::bigint as regular_hits,
    coalesce(measured.irregular_pairs, 0)::bigint as irregular_pairs,
    coalesce(measured.irregular_hits, 0)::bigint as irregular_hits
  from revenue
  left join list using (currency)
  left join purchasers using (currency)
  left join measured using (currency)
)
select
  *,
  case
    when regular_pairs < 30 or irregular_pairs < 30 then 'too_little_history'
    -- regular_hits / regular_pairs at least 0.1 above irregular_hits / irregular_pairs
    when 10 * (regular_hits * irregular_pairs - irregular_hits * regular_pairs) >= regular_pairs * irregular_pairs
      then 'on_a_rhythm'
    else 'repeat_not_on_a_rhythm'
  end as verdict
from answer
