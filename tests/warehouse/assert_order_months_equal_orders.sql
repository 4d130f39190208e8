-- Revenue of the months is the sum of the orders, per currency, by every split of it; new customers are counted once.
with months as (
  select
    currency,
    sum(revenue_minor) as revenue_minor,
    sum(sales_minor + credits_minor) as by_credit_minor,
    sum(goods_minor + other_minor) as by_goods_minor,
    sum(orders) as orders,
    sum(new_customers) as customers
  from {{ ref('fct_order_months') }}
  group by currency
),
orders as (
  select
    currency,
    sum(net_minor) as revenue_minor,
    count(*) filter (not is_credit) as orders,
    count(distinct customer_id) filter (not is_credit) as customers
  from {{ ref('fct_orders') }}
  group by currency
)
select currency
from months
full join orders using (currency)
where
  months.revenue_minor is distinct from orders.revenue_minor
  or months.by_credit_minor is distinct from orders.revenue_minor
  or months.by_goods_minor is distinct from orders.revenue_minor
  or months.orders is distinct from orders.orders
  or months.customers is distinct from orders.customers
