-- Question: What are NRR and GRR over twelve months, by segment and in total?
-- Look out: Divide sums, never average ratios: GROUPING SETS makes the total from the same parts. The segment is that at
--   the opening of the window. Amounts without a rate into the reporting currency keep their own: leave them out. Few customers make a wild rate: min_customers of the policy is where it starts to mean
--   something.
-- Sample: atlas
-- Columns: month, segment, customers, nrr, grr
SELECT
  month, coalesce(segment, 'all') AS segment, sum(start_customers)::BIGINT AS customers,
  sum(end_mrr) / nullif(sum(start_mrr), 0) AS nrr,
  sum(kept_mrr) / nullif(sum(start_mrr), 0) AS grr
FROM marts.fct_retention
WHERE window_months = 12 AND NOT is_provisional
  AND currency = (SELECT reporting_currency FROM raw_meta.policy)
GROUP BY GROUPING SETS ((month, segment), (month))
ORDER BY month DESC, customers DESC, segment
