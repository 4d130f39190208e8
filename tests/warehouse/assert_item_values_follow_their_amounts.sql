-- What an item is worth a month is its recurring amount shared over the months of its interval, and of that what its
-- running recurring discounts leave: no tax, one-off or usage amount, and no discount that is taken once. Written in
-- another way than the models: the list value by cross-multiplication, the discounts in floating point to nine digits.
with policy as (
  select * from {{ ref('stg_meta__policy') }}
),
-- weeks and days to the month, as numerator and denominator
factors as (
  select
    case week_factor when '52/12' then [52, 12] when '4.33' then [433, 100] else [4, 1] end as of_week,
    case day_factor when '365/12' then [365, 12] when '30.44' then [3044, 100] else [30, 1] end as of_day,
    discounts as way
  from policy
),
amounts as (
  select
    items.subscription_item_id,
    items.valid_from,
    items.list_mrr,
    items.net_mrr,
    items.mrr,
    items.trial_mrr,
    items.discount_mrr,
    items.counts_in_mrr,
    items.currency,
    (versions.amount_minor + versions.committed_minimum_minor)::hugeint as amount_minor,
    case versions.billing_interval
      when 'day' then factors.of_day[1]
      when 'week' then factors.of_week[1]
      when 'month' then 1
      when 'year' then 1
      else 0
    end as times,
    versions.interval_count * case versions.billing_interval
      when 'day' then factors.of_day[2]
      when 'week' then factors.of_week[2]
      when 'year' then 12
      else 1
    end as parts,
    factors.way
  from {{ ref('int_item_versions') }} as items
  join {{ ref('int_subscription_versions') }} as versions using (subscription_item_id, version_no)
  cross join factors
),
given as (
  select subscription_item_id, discount_id, percent_ppm, amount_minor, currency, duration, valid_from, valid_to, order_no
  from {{ ref('stg_billing__discounts') }}
  cross join policy
  where policy.mrr_source = 'subscription_versions'
  union all
  select subscription_item_id, 'billed', null, discount_minor, currency, 'forever', valid_from, valid_to, 1
  from {{ ref('int_subscription_versions') }}
  where discount_minor > 0
),
taken as (
  select
    amounts.subscription_item_id,
    amounts.valid_from,
    list(
      {
        'left_over': 0::double,
        'share': coalesce(discounts.percent_ppm, 0) / 1000000,
        'amount': coalesce(discounts.amount_minor, 0)::double
      }
      order by discounts.order_no, discounts.discount_id
    ) as discounts
  from amounts
  join given as discounts
    on discounts.subscription_item_id = amounts.subscription_item_id
    and discounts.valid_from <= amounts.valid_from
    and coalesce(discounts.valid_to, date '9999-12-31') > amounts.valid_from
  where case amounts.way
      when 'forever_only' then discounts.duration = 'forever'
      when 'list' then false
      else discounts.duration <> 'once'
    end
    and (coalesce(discounts.amount_minor, 0) = 0 or coalesce(discounts.currency, amounts.currency) = amounts.currency)
  group by amounts.subscription_item_id, amounts.valid_from
),
expected as (
  select
    amounts.*,
    case
      when taken.discounts is null then amount_minor::double
      when way = 'largest_only' then greatest(
        list_min([amount_minor * (1 - one.share) - one.amount for one in taken.discounts]), 0
      )
      else list_reduce(
        list_prepend({'left_over': amount_minor::double, 'share': 0::double, 'amount': 0::double}, taken.discounts),
        lambda before, one: {
          'left_over': greatest(before.left_over - before.left_over * one.share - one.amount, 0),
          'share': 0::double,
          'amount': 0::double
        }
      ).left_over
    end * times / parts as net
  from amounts
  left join taken using (subscription_item_id, valid_from)
)
select *
from expected
where abs((list_mrr::decimal(38, 6) * 1000000)::hugeint * parts - amount_minor * times * 1000000) * 2 > parts
  or abs(net_mrr::double - net) > 0.000001 + abs(net) / 1000000000
  or mrr <> case when counts_in_mrr then net_mrr else 0 end
  or discount_mrr <> case when counts_in_mrr then list_mrr - net_mrr else 0 end
  or trial_mrr not in (0, net_mrr)
  or trial_mrr > 0 and mrr > 0
