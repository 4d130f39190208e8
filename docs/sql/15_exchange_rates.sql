-- Question: How much of the change of MRR came from exchange rates and not from customers?
-- Look out: closing_mrr is at each day's rate, closing_mrr_constant at one set of rates for all months: compare months
--   with the constant series, show headlines with the other. Native amounts stay in their own currency.
-- Sample: atlas
-- Columns: month, currency, closing_native, closing_reported, closing_constant, fx_impact
SELECT
  month, currency, sum(closing_mrr_native) AS closing_native, sum(closing_mrr) AS closing_reported,
  sum(closing_mrr_constant) AS closing_constant, sum(fx_impact) AS fx_impact
FROM marts.fct_mrr_months
WHERE amount_currency = (SELECT reporting_currency FROM raw_meta.policy)
GROUP BY month, currency
ORDER BY month DESC, currency
