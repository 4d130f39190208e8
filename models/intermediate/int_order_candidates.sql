-- One row per measuring day × customer × SKU × currency of the live repeat pairs: those that meet every condition of
-- the subscription opportunity but the share of near gaps, which is_regular says.
with live as (
  select
    cadence.*,
    4 * cadence.regular_gaps >= 3 * cadence.gaps as is_regular,
    -- in millionths of a minor unit, cut: what the list adds up to was really bought
    least(
      cadence.median_day_spend_minor::hugeint * 365 * 1000000 // (12 * cadence.median_gap_days),
      cadence.net_spend_minor::hugeint * 1000000 // 12
    ) as potential_e6
  from {{ ref('int_order_cadence') }} as cadence
  left join {{ ref('int_order_subscribed_pairs') }} as subscribed
    on subscribed.as_of = cadence.as_of
    and subscribed.customer_id = cadence.customer_id
    and subscribed.sku = cadence.sku
  where
    cadence.scope = 'sku'
    and cadence.purchase_days >= 4
    and cadence.median_gap_days between 7 and 120
    and 2 * cadence.days_since_last <= 3 * cadence.median_gap_days
    and cadence.net_spend_minor > 0
    and subscribed.customer_id is null
)
select
  *,
  (potential_e6::decimal(19, 0) * 0.000001::decimal(7, 6))::decimal(18, 6) as potential_mrr,
  case when purchase_days >= 6 then '6+' else purchase_days::varchar end as purchase_days_class,
  as_of + ((3 * median_gap_days + 1) // 2)::integer as outcome_closes_on
from live
