-- One row per billed subscription item, currency and stretch of days in which neither its MRR nor what is billed changes.
-- Rates are whole numbers of 10^-9 minor units a day. The price of a billed day is that of the version by the billing period:
-- the line's own where it is billed for whole periods, else that in which the line for a part of one begins. Where a version
-- has begun since the item was last billed, the price is that of the version billed, and the rest of its MRR is not yet billed.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
items as (
  select
    versions.subscription_item_id,
    versions.currency,
    versions.valid_from,
    coalesce(versions.valid_to, date '9999-12-31') as valid_to,
    min(versions.valid_from) over (partition by versions.subscription_item_id, versions.currency) as begun_on,
    versions.version_no,
    min(versions.valid_from) over (partition by versions.subscription_item_id, versions.currency, versions.version_no)
      as version_start,
    max(coalesce(versions.valid_to, date '9999-12-31'))
      over (partition by versions.subscription_item_id, versions.currency, versions.version_no) as version_end,
    versions.counts_in_mrr,
    versions.mrr,
    versions.net_mrr,
    versions.amount_e12 // 1000 as amount_e9,
    committed.committed_minimum_minor * 1000000000::hugeint as committed_e9,
    (versions.net_mrr::decimal(38, 6) * 1000000)::hugeint * 1000 * versions.factor_d // versions.factor_n as net_e9,
    cast(versions.quantity * 1000000 as hugeint) as quantity_e6,
    versions.interval_count * case versions.billing_interval when 'month' then 1 when 'year' then 12 end as months,
    versions.interval_count * case versions.billing_interval when 'day' then 1 when 'week' then 7 end as days
  from {{ ref('int_item_versions') }} as versions
  semi join {{ ref('int_reconciliation_lines') }} as lines
    on lines.subscription_item_id = versions.subscription_item_id
    and lines.currency = versions.currency
  join {{ ref('stg_billing__subscription_versions') }} as committed using (subscription_item_id, version_no)
),
lines as (
  select
    *,
    (service_end - service_start)::hugeint as days,
    net_minor * 1000000000::hugeint as net_e9,
    discount_minor * 1000000000::hugeint as discount_e9,
    once_discount_minor * 1000000000::hugeint as once_e9,
    sign(net_minor + discount_minor)::integer as charge,
    cast(quantity * 1000000 as hugeint) * is_goods::integer * sign(net_minor + discount_minor)::integer as units_e6
  from {{ ref('int_reconciliation_lines') }}
),
-- a line runs over its service, but for the days on which others stand for it
runs as (
  select *, service_start as from_day, service_end as to_day, 1 as stands, 0 as is_replaced from lines
  union all by name
  select *, replaced_from as from_day, replaced_to as to_day, -1 as stands, 1 as is_replaced
  from lines
  where replaced_from is not null
),
rates as (
  select
    subscription_item_id,
    currency,
    from_day,
    to_day,
    stands * {{ per_day('net_e9', 'days') }} as net_rate,
    stands * {{ per_day('discount_e9', 'days') }} as discount_rate,
    stands * {{ per_day('once_e9', 'days') }} as once_rate,
    is_replaced * {{ per_day('net_e9', 'days') }} as replaced_rate,
    stands * charge as charges,
    stands * {{ per_day('cut_e9', 'days') }} as cut_rate,
    case when is_goods then stands else 0 end as goods_lines,
    case when is_whole_period then 0 else stands end as part_lines,
    case when is_whole_period then stands * {{ per_day('units_e6 * 1000000', 'days') }} else 0 end as units_rate,
    case when is_whole_period then 0 else stands * units_e6 end as part_units
  from runs
),
{% set sums = [
  'net_rate', 'discount_rate', 'once_rate', 'replaced_rate', 'cut_rate', 'charges', 'goods_lines', 'part_lines', 'units_rate',
  'part_units'
] -%}
changes as (
  select subscription_item_id, currency, from_day as day,
    {% for sum in sums %}{{ sum }}{{ ', ' if not loop.last }}{% endfor %} from rates
  union all
  select subscription_item_id, currency, to_day as day,
    {% for sum in sums %}-{{ sum }}{{ ', ' if not loop.last }}{% endfor %} from rates
  union all
  select subscription_item_id, currency, unnest([valid_from, valid_to]) as day,
    {% for sum in sums %}0{{ ', ' if not loop.last }}{% endfor %} from items
),
days as (
  select
    subscription_item_id,
    currency,
    day
    {% for sum in sums %}, sum({{ sum }}) as {{ sum }}{% endfor %}
  from changes
  group by subscription_item_id, currency, day
),
stretches as (
  select
    subscription_item_id,
    currency,
    day as valid_from,
    least(lead(day) over by_day, build.as_of + 1) as valid_to
    {% for sum in sums %}, sum({{ sum }}) over by_day as {{ sum }}{% endfor %}
  from days
  cross join build
  window by_day as (partition by subscription_item_id, currency order by day)
),
last_billed as (
  select subscription_item_id, currency, max(service_end) as billed_to, max(issued_on) as billed_on
  from lines
  group by subscription_item_id, currency
),
with_versions as (
  select
    stretches.*,
    coalesce(stretches.valid_from < items.valid_to and items.counts_in_mrr, false) as counts,
    items.* exclude (subscription_item_id, currency, valid_from, valid_to, version_end, counts_in_mrr, net_mrr)
  from stretches
  asof left join items
    on items.subscription_item_id = stretches.subscription_item_id
    and items.currency = stretches.currency
    and items.valid_from <= stretches.valid_from
  where stretches.valid_from < stretches.valid_to
),
-- the newest lines that stand on a day of a version begun since the item was last billed, or on the day it was
standing_lines as (
  select
    versions.subscription_item_id,
    versions.currency,
    versions.valid_from,
    lines.is_whole_period,
    lines.issued_on,
    lines.service_start,
    lines.service_end,
    sum(lines.net_e9 + lines.discount_e9) as gross_e9
  from with_versions as versions
  join last_billed
    on last_billed.subscription_item_id = versions.subscription_item_id
    and last_billed.currency = versions.currency
    and last_billed.billed_on <= versions.version_start
  join lines
    on lines.subscription_item_id = versions.subscription_item_id
    and lines.currency = versions.currency
    and lines.service_start <= versions.valid_from
    and lines.service_end > versions.valid_from
  where versions.counts
    and versions.charges > 0
    and lines.charge > 0
    and (lines.replaced_from <= versions.valid_from and lines.replaced_to > versions.valid_from) is not true
  group by
    versions.subscription_item_id, versions.currency, versions.valid_from,
    lines.is_whole_period, lines.issued_on, lines.service_start, lines.service_end
  qualify row_number() over (
    partition by versions.subscription_item_id, versions.currency, versions.valid_from
    order by lines.issued_on desc, lines.service_start desc, lines.is_whole_period, lines.service_end
  ) = 1
),
-- they bill a version known by their issue: a whole period's price tells which, a part begins with its version
versions_billed as (
  select
    standing.subscription_item_id,
    standing.currency,
    standing.valid_from,
    items.amount_e9,
    items.committed_e9,
    items.net_e9,
    items.quantity_e6,
    items.months,
    items.days,
    items.net_mrr as billed_mrr
  from standing_lines as standing
  join items
    on items.subscription_item_id = standing.subscription_item_id
    and items.currency = standing.currency
    and items.valid_from <= standing.valid_from
    and items.version_end >= standing.issued_on
  qualify row_number() over (
    partition by standing.subscription_item_id, standing.currency, standing.valid_from
    order by
      case
        when standing.is_whole_period
          then coalesce('m' || items.months, 'd' || items.days) in (
            'm' || {{ months_between('standing.service_start', 'standing.service_end') }},
            'd' || (standing.service_end - standing.service_start)
          )
        else items.version_start <= standing.service_start
      end desc,
      case when standing.is_whole_period then abs(standing.gross_e9 - (items.amount_e9 - items.committed_e9)) end,
      items.valid_from desc
  ) = 1
),
judged as (
  select
    with_versions.* replace (
      coalesce(versions_billed.amount_e9, with_versions.amount_e9) as amount_e9,
      coalesce(versions_billed.committed_e9, with_versions.committed_e9) as committed_e9,
      coalesce(versions_billed.net_e9, with_versions.net_e9) as net_e9,
      coalesce(versions_billed.quantity_e6, with_versions.quantity_e6) as quantity_e6,
      case when versions_billed.billed_mrr is null then with_versions.months else versions_billed.months end as months,
      case when versions_billed.billed_mrr is null then with_versions.days else versions_billed.days end as days
    ),
    with_versions.counts and with_versions.charges > 0 as is_billed,
    coalesce(versions_billed.billed_mrr, with_versions.mrr) as billed_mrr
  from with_versions
  left join versions_billed using (subscription_item_id, currency, valid_from)
),
-- lines of a whole period by their length, in months and in days
whole_lines as (
  select subscription_item_id, currency, service_start, max(service_end) as service_end
  from lines
  where is_whole_period
  group by subscription_item_id, currency, service_start
),
periods as (
  select
    subscription_item_id,
    currency,
    service_start,
    service_end,
    unnest(['m' || {{ months_between('service_start', 'service_end') }}, 'd' || (service_end - service_start)]) as span
  from whole_lines
),
parts as (
  select distinct subscription_item_id, currency, service_start from lines where not is_whole_period
),
billed as (
  select
    judged.subscription_item_id,
    judged.currency,
    judged.valid_from,
    judged.months,
    judged.days,
    judged.begun_on,
    coalesce('m' || judged.months, 'd' || judged.days) as span,
    case when judged.part_lines = 0 and whole_lines.service_end > judged.valid_from
      then whole_lines.service_end - whole_lines.service_start end as whole_days,
    coalesce(parts.service_start, judged.begun_on) as part_start
  from judged
  asof left join whole_lines
    on whole_lines.subscription_item_id = judged.subscription_item_id
    and whole_lines.currency = judged.currency
    and whole_lines.service_start <= judged.valid_from
  asof left join parts
    on parts.subscription_item_id = judged.subscription_item_id
    and parts.currency = judged.currency
    and parts.service_start <= judged.valid_from
  where judged.is_billed
),
-- boundaries are counted from the nearest known one
near_periods as (
  select
    billed.*,
    earlier.service_start as earlier_start,
    earlier.service_end as earlier_end,
    case
      when later.service_start is null or billed.part_start - earlier.service_end <= later.service_start - billed.part_start
        then coalesce(earlier.service_end, billed.begun_on)
      else later.service_start
    end as boundary
  from billed
  asof left join periods as earlier
    on earlier.subscription_item_id = billed.subscription_item_id
    and earlier.currency = billed.currency
    and earlier.span = billed.span
    and earlier.service_start <= billed.part_start
  asof left join periods as later
    on later.subscription_item_id = billed.subscription_item_id
    and later.currency = billed.currency
    and later.span = billed.span
    and later.service_start > billed.part_start
),
started_steps as (
  select
    * exclude (steps),
    case when {{ add_months('boundary', 'steps * months') }} > part_start then steps - 1 else steps end as steps
  from (
    select *, floor({{ months_between('boundary', 'part_start') }} / months)::integer as steps from near_periods
  )
),
period_days as (
  select
    subscription_item_id,
    currency,
    valid_from,
    case
      when whole_days is not null then whole_days
      when earlier_end > part_start then earlier_end - earlier_start
      when months is null then days
      else {{ add_months('boundary', '(steps + 1) * months') }} - {{ add_months('boundary', 'steps * months') }}
    end::hugeint as period_days
  from started_steps
),
priced as (
  select
    judged.*,
    {{ per_day('amount_e9 - committed_e9', 'period_days') }} as list_rate,
    {{ per_day('net_e9', 'period_days') }} as price_rate,
    case when amount_e9 = 0 then 0 else {{ per_day('net_e9 * (amount_e9 - committed_e9) // amount_e9', 'period_days') }} end
      as recurring_rate,
    case when quantity_e6 = 0 then 0
      else
        {{ per_day(
          "(amount_e9 - committed_e9) // 1000000 * (units_rate + " ~ per_day('part_units * 1000000', 'period_days') ~ ")",
          'quantity_e6'
        ) }}
    end as goods_rate
  from judged
  left join period_days using (subscription_item_id, currency, valid_from)
),
causes as (
  select
    priced.*,
    case when counts then mrr else 0 end as counted_mrr,
    is_billed and goods_lines > 0 as has_goods,
    coalesce(valid_from < last_billed.billed_to and version_start <= last_billed.billed_on, false) as was_passed_over
  from priced
  left join last_billed using (subscription_item_id, currency)
)
select
  subscription_item_id,
  currency,
  valid_from,
  valid_to,
  counted_mrr::decimal(18, 6) as mrr,
  case when was_passed_over and not is_billed then counted_mrr else 0 end::decimal(18, 6) as not_billed_mrr,
  case when is_billed then counted_mrr - billed_mrr when was_passed_over then 0 else counted_mrr end::decimal(18, 6)
    as not_yet_billed_mrr,
  case when is_billed then price_rate else 0 end::hugeint as price_rate,
  case when is_billed then 0 else net_rate end::hugeint as billed_without_mrr_rate,
  case when is_billed then recurring_rate - price_rate else 0 end::hugeint as committed_minimums_rate,
  case when has_goods then goods_rate - list_rate else 0 end::hugeint as goods_units_rate,
  case when has_goods then net_rate + discount_rate - goods_rate else 0 end::hugeint as goods_prices_rate,
  case when is_billed then list_rate - recurring_rate - (discount_rate - once_rate) else 0 end::hugeint as other_discounts_rate,
  case when is_billed then -once_rate else 0 end::hugeint as once_discounts_rate,
  replaced_rate::hugeint as billed_again_rate,
  case when is_billed and not has_goods then cut_rate else 0 end::hugeint as cut_reversals_rate
from causes
