-- Question: What was MRR at the close of each month, and how many customers paid?
-- Look out: The row with segment 'all' is the total; adding it to the segments counts everything twice. The newest month
--   may be provisional: it ends with the as-of day, not with the month.
-- Sample: atlas
-- Columns: month, currency, mrr, customers, is_provisional
SELECT month, values.currency, numerator / power(10, exponent) AS mrr, customers, is_provisional
FROM marts.fct_metric_values AS values
JOIN raw_meta.currencies ON currencies.code = values.currency
WHERE metric_id = 'mrr' AND segment = 'all'
ORDER BY month DESC
