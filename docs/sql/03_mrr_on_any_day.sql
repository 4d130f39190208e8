-- Question: What was MRR on a day in the middle of a month, for example 90 days before the as-of day?
-- Look out: MRR is a log: the balance of a day is the sum of all movements up to it. Take one measure ('trial' and
--   'discount' lie beside MRR) and leave out what is scheduled. Unlike currencies are never added.
-- Sample: atlas
-- Columns: currency, day, mrr
SELECT currency, as_of - 90 AS day, sum(delta_native) AS mrr
FROM marts.fct_mrr_movements
CROSS JOIN raw_meta.build
WHERE measure = 'mrr' AND NOT is_scheduled AND movement_on <= as_of - 90
GROUP BY ALL
ORDER BY currency
