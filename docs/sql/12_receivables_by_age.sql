-- Question: How old is what customers owe, as of the as-of day?
-- Look out: Amounts are minor units of the invoice's own currency: KWD has three decimals, JPY none. A customer with
--   invoices in two buckets counts in both, so customers do not add up over buckets.
-- Sample: atlas
-- Columns: currency, bucket, invoices, remaining
SELECT
  currency, bucket, sum(invoices)::BIGINT AS invoices, sum(remaining_minor) / power(10, any_value(exponent)) AS remaining
FROM marts.fct_ar_aging
JOIN raw_meta.currencies ON currencies.code = currency
WHERE snapshot_on = (SELECT as_of FROM raw_meta.build)
GROUP BY currency, bucket
ORDER BY currency, bucket
