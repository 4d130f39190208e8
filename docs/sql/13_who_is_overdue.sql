-- Question: Who owes most beyond the due day, and since when?
-- Look out: An invoice is settled by what is applied to it (money, credit notes, credit); its status alone does not say
--   how much is left. Written-off amounts are not owed any more.
-- Sample: atlas
-- Columns: customer_id, name, currency, invoices, overdue_minor, oldest_due_on, days_past_due
SELECT
  invoices.customer_id, customers.name, invoices.currency, count(*) AS invoices,
  sum(remaining_minor)::BIGINT AS overdue_minor, min(due_on) AS oldest_due_on, max(days_past_due) AS days_past_due
FROM marts.fct_invoices AS invoices
JOIN marts.dim_customers AS customers
  ON customers.customer_id = invoices.customer_id AND customers.is_current
WHERE remaining_minor > 0 AND days_past_due > 0
GROUP BY ALL
ORDER BY overdue_minor DESC, invoices.customer_id
