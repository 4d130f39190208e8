"""Invoices as the warehouse knows them, one at a time: for companies that are not billed by the engine."""

from dashboard.queries import Query

NEWEST = Query(
    "known_invoices",
    """
SELECT invoices.invoice_no, invoices.invoice_id, invoices.customer_id, customer.name, invoices.status,
  invoices.issued_on, invoices.due_on, invoices.currency, invoices.total_minor, invoices.remaining_minor
FROM (
  SELECT * FROM warehouse.marts.fct_invoices ORDER BY issued_on DESC, invoice_no DESC, invoice_id LIMIT $limit
) AS invoices
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = invoices.customer_id AND customer.is_current
ORDER BY invoices.issued_on DESC, invoices.invoice_no DESC, invoices.invoice_id
""",
)

# By the number printed on it, else by the source's own id; a number may have been given twice.
INVOICE = Query(
    "known_invoice",
    """
SELECT invoices.invoice_no, invoices.invoice_id, invoices.customer_id, customer.name, invoices.status,
  invoices.issued_on, invoices.due_on, invoices.voided_on, invoices.settled_on, invoices.currency,
  invoices.net_minor, invoices.tax_minor, invoices.total_minor, invoices.remaining_minor
FROM (
  SELECT * FROM warehouse.marts.fct_invoices WHERE invoice_no = $document OR invoice_id = $document
  ORDER BY invoice_id = $document DESC, issued_on DESC, invoice_id
  LIMIT $limit
) AS invoices
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = invoices.customer_id AND customer.is_current
ORDER BY invoices.invoice_id = $document DESC, invoices.issued_on DESC, invoices.invoice_id
""",
)

# With the plan that the item had when the service began.
LINES = Query(
    "known_invoice_lines",
    """
WITH lines AS (
  SELECT line_id, subscription_item_id, kind, sku, quantity, service_start, service_end, discount_minor,
    net_minor, tax_minor
  FROM warehouse.marts.fct_invoice_lines
  WHERE invoice_id = $invoice_id AND customer_id = $customer_id
),
plans AS (
  SELECT subscription_item_id, movement_on, any_value(plan_id) AS plan_id
  FROM warehouse.marts.fct_mrr_movements
  WHERE customer_id = $customer_id AND measure = 'mrr' AND NOT is_scheduled AND delta_native > 0
  GROUP BY subscription_item_id, movement_on
)
SELECT lines.line_id, coalesce(plan.plan_name, plans.plan_id, lines.sku) AS what, lines.kind, lines.quantity,
  lines.service_start, lines.service_end, lines.discount_minor, lines.net_minor, lines.tax_minor
FROM lines
ASOF LEFT JOIN plans ON plans.subscription_item_id = lines.subscription_item_id
  AND plans.movement_on <= lines.service_start
LEFT JOIN warehouse.marts.dim_plans AS plan ON plan.plan_id = plans.plan_id
ORDER BY lines.service_start, lines.line_id
""",
)

# What became of what is owed: the invoice, then what was paid, credited, written off or undone.
CHANGES = Query(
    "known_invoice_changes",
    """
SELECT event_on, event_kind, source_id, amount_minor
FROM warehouse.marts.fct_ar_events
WHERE invoice_id = $invoice_id AND customer_id = $customer_id
ORDER BY event_on, event_kind <> 'invoiced', event_kind, source_id
LIMIT $limit
""",
)
