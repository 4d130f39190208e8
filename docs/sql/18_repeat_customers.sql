-- Question: What share of a year's customers ordered on two days or more?
-- Look out: A window is 365 days; before the data is a year old it is not complete, and the rate is too low. Two orders on
--   one day are one order day.
-- Sample: retail
-- Columns: order_month, window_end_on, window_customers, repeat_customers, repeat_rate
SELECT
  order_month, window_end_on, window_customers, repeat_customers,
  repeat_customers / nullif(window_customers, 0) AS repeat_rate
FROM marts.fct_repeat_months
WHERE is_window_complete
ORDER BY order_month DESC
