-- A year of the potential is never more than was really bought; what is expected is never more than the potential.
select customer_id, sku, currency
from {{ ref('fct_subscription_opportunity') }}
where
  potential_mrr <= 0
  or 12 * potential_mrr > net_spend_minor
  or expected_mrr > potential_mrr
  or class_hits > class_pairs
