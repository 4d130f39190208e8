-- Question: Did MRR of existing customers grow by price, by quantity or by discounts that ended?
-- Look out: The three effects add up to the movement exactly, in the movement's own currency; that is why the currency is
--   in the grouping. Take rows of measure 'mrr' only.
-- Sample: atlas
-- Columns: month, currency, reason, change, quantity_effect, price_effect, discount_effect, rest
SELECT
  month, currency, reason, sum(delta_native) AS change, sum(quantity_effect) AS quantity_effect,
  sum(price_effect) AS price_effect, sum(discount_effect) AS discount_effect,
  sum(delta_native - quantity_effect - price_effect - discount_effect) AS rest
FROM marts.fct_mrr_movements
WHERE measure = 'mrr' AND NOT is_scheduled AND category IN ('expansion', 'contraction')
GROUP BY ALL
ORDER BY month DESC, currency, abs(change) DESC, reason
