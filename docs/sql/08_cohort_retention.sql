-- Question: Of the MRR that a quarter's new customers began with, how much is left after 3, 6 and 12 months?
-- Look out: A cohort has no row at an age it has not reached, so it is null, not nil. Cohorts of a quarter reach an age
--   month by month: a quarter is shown when all of its months have. Ages are whole months from the first month with MRR.
-- Sample: atlas
-- Columns: cohort_quarter, customers, after_3, after_6, after_12
WITH ages AS (
  SELECT
    cohort_quarter, age_months, sum(start_mrr) AS start_mrr, sum(net_mrr) AS net_mrr,
    sum(start_customers)::BIGINT AS customers, count(DISTINCT cohort_month) AS months
  FROM marts.fct_cohorts
  WHERE NOT is_provisional AND currency = (SELECT reporting_currency FROM raw_meta.policy)
  GROUP BY cohort_quarter, age_months
), whole AS (
  SELECT *, months = max(months) OVER (PARTITION BY cohort_quarter) AS is_whole FROM ages
)
SELECT
  cohort_quarter, max(customers) FILTER (age_months = 0) AS customers,
  max(net_mrr / nullif(start_mrr, 0)) FILTER (age_months = 3 AND is_whole) AS after_3,
  max(net_mrr / nullif(start_mrr, 0)) FILTER (age_months = 6 AND is_whole) AS after_6,
  max(net_mrr / nullif(start_mrr, 0)) FILTER (age_months = 12 AND is_whole) AS after_12
FROM whole
GROUP BY cohort_quarter
ORDER BY cohort_quarter
