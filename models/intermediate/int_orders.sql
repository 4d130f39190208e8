-- One row per order or credit note up to the as-of day, with the sums of its lines.
with sums as (
  select
    order_id,
    count(*) as lines,
    count(*) filter (is_zero_amount) as zero_lines,
    count(distinct sku) as skus,
    (coalesce(sum(amount_minor) filter (is_goods), 0))::bigint as goods_minor,
    (coalesce(sum(amount_minor) filter (not is_goods), 0))::bigint as other_minor
  from {{ ref('int_order_lines') }}
  group by order_id
)
select
  orders.order_id,
  orders.customer_id,
  orders.ordered_at,
  orders.ordered_on,
  date_trunc('month', orders.ordered_on)::date as order_month,
  orders.currency,
  orders.is_credit,
  orders.credited_order_id,
  orders.country,
  coalesce(sums.lines, 0) as lines,
  coalesce(sums.zero_lines, 0) as zero_lines,
  coalesce(sums.skus, 0) as skus,
  coalesce(sums.goods_minor, 0)::bigint as goods_minor,
  coalesce(sums.other_minor, 0)::bigint as other_minor,
  (coalesce(sums.goods_minor, 0) + coalesce(sums.other_minor, 0))::bigint as net_minor,
  case
    when not orders.is_credit
      then row_number() over (
        partition by orders.customer_id, orders.is_credit order by orders.ordered_at, orders.order_id
      )
  end as order_no
from {{ ref('stg_orders__orders') }} as orders
left join sums using (order_id)
where orders.ordered_on <= (select as_of from {{ ref('stg_meta__build') }})
