-- Question: What does every metric say about the last closed month, how is it defined, and why is one missing?
-- Look out: Null means "cannot be computed", with the reason in why_null; it is neither nil nor infinite. Read the unit
--   before the value: minor units a month, minor units, a ratio or a count.
-- Sample: atlas
-- Columns: metric_id, label_en, label_ar, unit, value, customers, why_null, definition_en
SELECT metric_id, label_en, label_ar, unit, value, customers, why_null, definition_en
FROM marts.fct_metric_values
JOIN marts.dim_metrics USING (metric_id)
WHERE segment = 'all'
  AND month = (SELECT max(month) FROM marts.fct_metric_values WHERE NOT is_provisional)
ORDER BY metric_id
