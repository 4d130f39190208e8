-- Question: How did MRR get from the opening to the close of each month?
-- Look out: Use the columns without _native to add currencies: those are in the reporting currency (amount_currency), and
--   fx_impact is what exchange rates did, not customers. entered and left are moves between plans or segments: nil in
--   the total. The rest must be nil; contraction and churn are negative.
-- Sample: atlas
-- Columns: month, opening, new, expansion, contraction, churn, reactivation, fx_impact, closing, rest
SELECT
  month,
  sum(opening_mrr) AS opening, sum(new_mrr) AS new, sum(expansion_mrr) AS expansion,
  sum(contraction_mrr) AS contraction, sum(churn_mrr) AS churn, sum(reactivation_mrr) AS reactivation,
  sum(fx_impact) AS fx_impact, sum(closing_mrr) AS closing,
  sum(opening_mrr + new_mrr + expansion_mrr + contraction_mrr + churn_mrr + reactivation_mrr
    + entered_mrr + left_mrr + fx_impact - closing_mrr) AS rest
FROM marts.fct_mrr_months
WHERE amount_currency = (SELECT reporting_currency FROM raw_meta.policy)
GROUP BY month
ORDER BY month DESC
