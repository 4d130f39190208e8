-- Question: Which customers already buy like subscribers, and what could that bring a month?
-- Look out: potential_mrr is never more than was really bought; expected_mrr weighs it with how often such pairs did come
--   back, and is null where that was not measured. A total over customers is a plan, not a forecast.
-- Sample: retail
-- Columns: customer_id, currency, pairs, potential_mrr, expected_mrr, next_expected_on
SELECT
  customer_id, currency, count(*) AS pairs, sum(potential_mrr) AS potential_mrr, sum(expected_mrr) AS expected_mrr,
  min(next_expected_on) AS next_expected_on
FROM marts.fct_subscription_opportunity
GROUP BY customer_id, currency
ORDER BY expected_mrr DESC NULLS LAST, potential_mrr DESC, customer_id
LIMIT 25
