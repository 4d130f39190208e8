-- One row per measuring day × scope × customer × SKU × currency with a purchase day in the 365 days up to that day.
-- All medians are the lower of two middles.
with purchase_days as (
  select
    days.as_of,
    days.is_current,
    purchases.*,
    purchases.purchased_on - lag(purchases.purchased_on) over (
      partition by days.as_of, purchases.scope, purchases.customer_id, purchases.sku, purchases.currency
      order by purchases.purchased_on
    ) as gap
  from {{ ref('int_order_cadence_days') }} as days
  join {{ ref('int_order_purchase_days') }} as purchases
    on purchases.purchased_on > days.as_of - 365 and purchases.purchased_on <= days.as_of
),
measured as (
  select
    as_of,
    is_current,
    scope,
    customer_id,
    sku,
    currency,
    count(*) as purchase_days,
    min(purchased_on) as first_purchase_on,
    max(purchased_on) as last_purchase_on,
    quantile_disc(gap, 0.5) as median_gap_days,
    list(gap) filter (gap is not null) as gaps,
    quantile_disc(spend_minor, 0.5) as median_day_spend_minor,
    quantile_disc(units, 0.5) as median_day_units
  from purchase_days
  group by as_of, is_current, scope, customer_id, sku, currency
),
spend as (
  select
    days.as_of,
    case when grouping(lines.sku) = 0 then 'sku' else 'customer' end as scope,
    lines.customer_id,
    lines.sku,
    lines.currency,
    sum(lines.amount_minor)::bigint as net_spend_minor
  from {{ ref('int_order_cadence_days') }} as days
  join {{ ref('int_order_lines') }} as lines
    on lines.is_goods and lines.ordered_on > days.as_of - 365 and lines.ordered_on <= days.as_of
  group by grouping sets (
    (days.as_of, lines.customer_id, lines.sku, lines.currency), (days.as_of, lines.customer_id, lines.currency)
  )
)
select
  measured.* exclude (gaps),
  measured.purchase_days - 1 as gaps,
  coalesce(
    list_count(list_filter(
      measured.gaps,
      lambda gap: measured.median_gap_days <= 2 * gap and 2 * gap <= 3 * measured.median_gap_days
    )),
    0
  )::bigint as regular_gaps,
  measured.as_of - measured.last_purchase_on as days_since_last,
  measured.last_purchase_on + measured.median_gap_days::integer as next_expected_on,
  spend.net_spend_minor
from measured
join spend
  on spend.as_of = measured.as_of
  and spend.scope = measured.scope
  and spend.customer_id = measured.customer_id
  and spend.sku is not distinct from measured.sku
  and spend.currency = measured.currency
