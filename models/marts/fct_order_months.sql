-- One row per month × currency × country with an order or a credit note.
with numbered as (
  select
    *,
    not is_credit and row_number() over (
      partition by customer_id, currency, is_credit order by ordered_at, order_id
    ) = 1 as is_first_in_currency
  from {{ ref('int_orders') }}
),
cells as (
  select
    order_month,
    currency,
    country,
    count(*) filter (not is_credit) as orders,
    count(*) filter (is_credit) as credit_notes,
    count(distinct customer_id) filter (not is_credit) as customers,
    count(*) filter (is_first_in_currency) as new_customers,
    sum(lines)::bigint as lines,
    sum(zero_lines)::bigint as zero_lines,
    (coalesce(sum(net_minor) filter (not is_credit), 0))::bigint as sales_minor,
    (coalesce(sum(net_minor) filter (is_credit), 0))::bigint as credits_minor,
    sum(goods_minor)::bigint as goods_minor,
    sum(other_minor)::bigint as other_minor,
    sum(net_minor)::bigint as revenue_minor
  from numbered
  group by order_month, currency, country
)
select
  cells.*,
  {{ add_months('cells.order_month', 1) }} > build.as_of + 1 as is_provisional
from cells
cross join {{ ref('stg_meta__build') }} as build
