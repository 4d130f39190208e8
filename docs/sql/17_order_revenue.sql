-- Question: What did orders bring in each month, and how much was credited?
-- Look out: Credit notes are negative and already in revenue. The newest month is provisional when the as-of day is not
--   its last. Customers of countries do not add up to those of the company: see fct_repeat_months.
-- Sample: retail
-- Columns: order_month, currency, orders, sales_minor, credits_minor, revenue_minor, is_provisional
SELECT
  order_month, currency, sum(orders)::BIGINT AS orders, sum(sales_minor)::BIGINT AS sales_minor,
  sum(credits_minor)::BIGINT AS credits_minor, sum(revenue_minor)::BIGINT AS revenue_minor,
  bool_or(is_provisional) AS is_provisional
FROM marts.fct_order_months
GROUP BY order_month, currency
ORDER BY order_month DESC, currency
