-- Question: What share of customers left in each month: on their own will, because a payment failed, or otherwise?
-- Look out: The window of one month is the monthly rate. Twelve monthly rates do not add up to the yearly one: for that
--   take window_months = 12.
-- Sample: atlas
-- Columns: month, start_customers, lost_customers, logo_churn, voluntary, involuntary, other
SELECT
  month, sum(start_customers)::BIGINT AS start_customers, sum(lost_customers)::BIGINT AS lost_customers,
  sum(lost_customers) / nullif(sum(start_customers), 0) AS logo_churn,
  sum(lost_voluntary)::BIGINT AS voluntary, sum(lost_involuntary)::BIGINT AS involuntary,
  sum(lost_other)::BIGINT AS other
FROM marts.fct_retention
WHERE window_months = 1 AND NOT is_provisional
GROUP BY month
ORDER BY month DESC
