-- Question: Which plans carry MRR now, and what share of it each?
-- Look out: Money is split over all plans of a customer, but a customer stands in one cell only, that of its largest MRR:
--   main_customers add up to all customers, an add-on may have none, and MRR of a plan over its main_customers means
--   nothing. For revenue per customer take the metric arpa, or segments.
-- Sample: atlas
-- Columns: plan_name, is_add_on, mrr, share, main_customers
WITH newest AS (
  SELECT plan_id, sum(closing_mrr) AS mrr, sum(closing_customers)::BIGINT AS main_customers
  FROM marts.fct_mrr_months
  WHERE month = (SELECT max(month) FROM marts.fct_mrr_months)
    AND amount_currency = (SELECT reporting_currency FROM raw_meta.policy)
  GROUP BY plan_id
)
SELECT
  coalesce(plan_name, newest.plan_id) AS plan_name, is_add_on, mrr, mrr / nullif(sum(mrr) OVER (), 0) AS share,
  main_customers
FROM newest
LEFT JOIN marts.dim_plans USING (plan_id)
WHERE mrr <> 0
ORDER BY mrr DESC, plan_name
