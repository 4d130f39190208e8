-- Question: Which customers came back, after how many days without a subscription, and do they pay more than before?
-- Look out: A spell is a stretch of constant MRR in one currency; it ends before valid_to (half-open), so an unbroken
--   change of price is no gap. Compare spells of one currency only.
-- Sample: atlas
-- Columns: customer_id, currency, left_on, back_on, days_away, mrr_before, mrr_after
WITH spells AS (
  SELECT
    customer_id, currency, valid_from, mrr_native,
    lag(valid_to) OVER by_day AS left_on, lag(mrr_native) OVER by_day AS mrr_before
  FROM marts.fct_mrr_spells
  WINDOW by_day AS (PARTITION BY customer_id, currency ORDER BY valid_from)
)
SELECT
  customer_id, currency, left_on, valid_from AS back_on, valid_from - left_on AS days_away, mrr_before,
  mrr_native AS mrr_after
FROM spells
WHERE left_on < valid_from
ORDER BY back_on DESC, customer_id
