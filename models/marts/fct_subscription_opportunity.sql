-- One row per customer × SKU × currency that buys like a subscriber without being one.
with names as (
  select sku, min(sku_name) as sku_name from {{ ref('int_order_lines') }} group by sku
),
countries as (
  select customer_id, arg_max(country, order_no) as country
  from {{ ref('int_orders') }}
  where not is_credit
  group by customer_id
),
proposals as (
  select
    candidates.*,
    intervals.*
  from {{ ref('int_order_candidates') }} as candidates
  cross join {{ ref('int_order_intervals') }} as intervals
  where candidates.is_current and candidates.is_regular
  -- nearest in log days, ties to the longer: the smaller of days/g and g/days, whichever is above 1
  qualify row_number() over (
    partition by candidates.customer_id, candidates.sku, candidates.currency
    order by
      greatest(
        intervals.days_n::double / (intervals.days_d * candidates.median_gap_days),
        intervals.days_d * candidates.median_gap_days / intervals.days_n::double
      ),
      intervals.days_n::double / intervals.days_d desc
  ) = 1
)
select
  proposals.as_of,
  proposals.customer_id,
  proposals.sku,
  names.sku_name,
  countries.country,
  proposals.currency,
  proposals.purchase_days,
  proposals.first_purchase_on,
  proposals.last_purchase_on,
  proposals.median_gap_days,
  proposals.gaps,
  proposals.regular_gaps,
  ((20000 * proposals.regular_gaps + proposals.gaps) // (2 * proposals.gaps))::integer as regular_gap_share_bp,
  proposals.days_since_last,
  proposals.next_expected_on,
  proposals.net_spend_minor,
  proposals.median_day_spend_minor,
  proposals.median_day_units,
  proposals.potential_mrr,
  proposals.purchase_days_class,
  rates.hits as class_hits,
  rates.pairs as class_pairs,
  rates.hit_rate_bp,
  case
    when rates.pairs > 0
      then ((proposals.potential_e6 * rates.hits // rates.pairs)::decimal(19, 0) * 0.000001::decimal(7, 6))
        ::decimal(18, 6)
  end as expected_mrr,
  proposals.proposed_interval,
  proposals.proposed_interval_count,
  greatest(
    round(proposals.median_day_units::double * proposals.days_n / (proposals.days_d * proposals.median_gap_days)),
    1
  )::bigint as proposed_quantity
from proposals
join names using (sku)
join countries using (customer_id)
left join {{ ref('fct_opportunity_hit_rates') }} as rates
  on rates.pair_kind = 'regular'
  and rates.purchase_days_class = proposals.purchase_days_class
  and rates.currency = proposals.currency
