-- Question: Which customers left, what did they pay, and why?
-- Look out: A customer has one category a month: who left and came back within it is not here (see
--   joined_and_left_customers of fct_mrr_months). dim_customers has a row per stretch of days: take the current one, or
--   rows multiply. Amounts of customer months are at the constant rate, so that months compare.
-- Sample: atlas
-- Columns: month, customer_id, name, segment, currency, lost_mrr, cause, main_reason
SELECT
  months.month, months.customer_id, customers.name, months.segment, months.currency,
  -months.delta AS lost_mrr, months.cause, months.main_reason
FROM marts.fct_customer_months AS months
JOIN marts.dim_customers AS customers
  ON customers.customer_id = months.customer_id AND customers.is_current
WHERE months.category = 'churn'
ORDER BY months.month DESC, lost_mrr DESC, months.customer_id
