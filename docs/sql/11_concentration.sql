-- Question: How much of MRR hangs on the ten largest customers?
-- Look out: fct_customer_month_balances is expanded on reading: filter by month first. Customers whose amounts have no
--   rate into the reporting currency are shown by their own currency and must not be added.
-- Sample: atlas
-- Columns: position, customer_id, name, closing_mrr, share_so_far
WITH paying AS (
  SELECT
    customer_id, closing_mrr, row_number() OVER (ORDER BY closing_mrr DESC, customer_id) AS position,
    sum(closing_mrr) OVER () AS total
  FROM marts.fct_customer_month_balances
  WHERE month = (SELECT date_trunc('month', as_of) FROM raw_meta.build)
    AND currency = (SELECT reporting_currency FROM raw_meta.policy)
)
SELECT
  position, paying.customer_id, name, closing_mrr,
  sum(closing_mrr) OVER (ORDER BY position) / total AS share_so_far
FROM paying
JOIN marts.dim_customers AS customers ON customers.customer_id = paying.customer_id AND is_current
QUALIFY position <= 10
ORDER BY position
