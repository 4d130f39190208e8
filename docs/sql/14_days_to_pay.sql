-- Question: How many days do customers of each segment take to settle an invoice?
-- Look out: Open invoices have no settled_on: leaving them out makes the youngest months look fast. Only invoices issued
--   at least 120 days before the as-of day are taken, and those still open are counted beside.
-- Sample: atlas
-- Columns: segment, settled, still_open, median_days, slowest_tenth_days
SELECT
  segment, count(settled_on) AS settled, count(*) - count(settled_on) AS still_open,
  quantile_disc(settled_on - issued_on, 0.5) AS median_days,
  quantile_disc(settled_on - issued_on, 0.9) AS slowest_tenth_days
FROM marts.fct_invoices
WHERE status <> 'void' AND issued_on <= (SELECT as_of - 120 FROM raw_meta.build)
GROUP BY segment
ORDER BY segment
