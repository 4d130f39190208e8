-- Question: Which regular buyers of an article are late with their next purchase?
-- Look out: The gap is a median: half of the gaps are longer, so a few days late is normal. Rows with few gaps say little;
--   four purchase days and a regular rhythm are asked for here, and who is long gone is left out.
-- Sample: retail
-- Columns: customer_id, sku, sku_name, median_gap_days, days_since_last, next_expected_on, net_spend_minor
SELECT
  customer_id, sku, sku_name, median_gap_days, days_since_last, next_expected_on, net_spend_minor
FROM marts.fct_reorder_cadence
WHERE purchase_days >= 4 AND regular_gap_share_bp >= 7500
  AND days_since_last > median_gap_days AND days_since_last <= 3 * median_gap_days
ORDER BY net_spend_minor DESC, customer_id, sku
