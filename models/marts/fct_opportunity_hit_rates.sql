-- One row per currency × kind × purchase-days class: how many of the pairs bought again in time, 180 days ago.
with pairs as (
  select
    candidates.*,
    case when candidates.is_regular then 'regular' else 'irregular' end as pair_kind,
    candidates.outcome_closes_on <= build.as_of as is_closed
  from {{ ref('int_order_candidates') }} as candidates
  cross join {{ ref('stg_meta__build') }} as build
  where not candidates.is_current
),
with_outcome as (
  select
    pairs.*,
    exists (
      select 1
      from {{ ref('int_order_purchase_days') }} as later
      where
        later.scope = 'sku'
        and later.customer_id = pairs.customer_id
        and later.sku = pairs.sku
        and later.currency = pairs.currency
        and later.purchased_on > pairs.as_of
        and later.purchased_on <= pairs.outcome_closes_on
    ) as is_hit
  from pairs
),
counts as (
  select
    as_of as measured_on,
    currency,
    pair_kind,
    coalesce(purchase_days_class, 'all') as purchase_days_class,
    count(*) filter (is_closed) as pairs,
    count(*) filter (is_closed and is_hit) as hits,
    count(*) filter (not is_closed) as left_out_pairs,
    count(distinct customer_id) as customers,
    count(distinct sku) as skus,
    sum(potential_mrr)::decimal(38, 6) as potential_mrr
  from with_outcome
  group by grouping sets ((as_of, currency, pair_kind, purchase_days_class), (as_of, currency, pair_kind))
)
select
  measured_on,
  currency,
  pair_kind,
  purchase_days_class,
  pairs,
  hits,
  ((20000 * hits + pairs) // (2 * nullif(pairs, 0)))::integer as hit_rate_bp,
  left_out_pairs,
  customers,
  skus,
  potential_mrr
from counts
