"""Cash and receivables: what is owed by age, what came in, what became of failed charges, and their rows.

A balance stands at the rate of its month's close, money that moved at that of the opening, as in
fct_metric_values; a currency without rates is counted in itself. `amount` is exact, so that rows in several
currencies add up to the figure.
"""

from dashboard.queries import Query
from dashboard.queries.revenue import choices_of

CHOICES = choices_of("ar_total")
MONTHS, CURRENCIES, SEGMENTS = CHOICES.months, CHOICES.currencies, CHOICES.segments

CLOSES = Query(
    "cash_closes",
    """
SELECT month, least(last_day(month), build.as_of) AS closed_on
FROM (SELECT unnest([$month::DATE, $compared::DATE]) AS month) AS months, warehouse.raw_meta.build AS build
""",
)

AGING = Query(
    "receivables_by_age",
    """
SELECT
  aging.bucket,
  aging.currency AS native_currency,
  sum(aging.invoices)::BIGINT AS invoices,
  sum(aging.remaining_minor)::BIGINT AS native_minor,
  sum((aging.remaining_minor * coalesce(rates.closing_rate, 1))::DECIMAL(38, 16)) AS amount
FROM warehouse.marts.fct_ar_aging AS aging
LEFT JOIN warehouse.marts.dim_month_rates AS rates
  ON rates.month = $month AND rates.currency = aging.currency
WHERE aging.snapshot_on = $closed_on AND coalesce(rates.amount_currency, aging.currency) = $currency
  AND ($segment = 'all' OR aging.segment = $segment)
GROUP BY aging.bucket, aging.currency
ORDER BY
  list_position(['current', 'd1_30', 'd31_60', 'd61_90', 'd91_plus', 'unapplied'], aging.bucket),
  aging.currency
""",
    metric="ar_bucket",
)

# What remains at a past close is what remains now, less what has changed since.
OPEN_INVOICES = Query(
    "open_invoices_at_close",
    """
WITH candidates AS (
  SELECT invoice_id, invoice_no, customer_id, currency, issued_on, due_on, total_minor, remaining_minor
  FROM warehouse.marts.fct_invoices
  WHERE issued_on <= $closed_on AND (settled_on IS NULL OR settled_on > $closed_on)
),
later AS (
  SELECT invoice_id, sum(amount_minor)::BIGINT AS amount_minor
  FROM warehouse.marts.fct_ar_events
  WHERE event_on > $closed_on
  GROUP BY invoice_id
),
at_close AS (
  SELECT
    candidates.*,
    ($closed_on::DATE - candidates.due_on)::INTEGER AS days_late,
    candidates.remaining_minor - coalesce(later.amount_minor, 0) AS open_minor
  FROM candidates
  LEFT JOIN later ON later.invoice_id = candidates.invoice_id
)
SELECT
  at_close.invoice_no, at_close.customer_id, customer.name, at_close.issued_on, at_close.due_on,
  at_close.days_late, at_close.currency AS native_currency, at_close.total_minor,
  at_close.open_minor AS native_minor,
  (at_close.open_minor * coalesce(rates.closing_rate, 1))::DECIMAL(38, 16) AS amount
FROM at_close
LEFT JOIN warehouse.marts.dim_month_rates AS rates
  ON rates.month = $month AND rates.currency = at_close.currency
LEFT JOIN warehouse.marts.dim_customers AS customer ON customer.customer_id = at_close.customer_id
  AND customer.valid_from <= $closed_on AND (customer.valid_to IS NULL OR customer.valid_to > $closed_on)
WHERE at_close.open_minor <> 0
  AND coalesce(rates.amount_currency, at_close.currency) = $currency
  AND ($segment = 'all' OR coalesce(customer.segment, 'unknown') = $segment)
  AND coalesce(at_close.days_late, 0) BETWEEN $days_from AND $days_to
ORDER BY at_close.days_late DESC, at_close.invoice_no
""",
    metric="ar_bucket",
)

OVERDUE_CUSTOMERS = Query(
    "overdue_customers",
    f"""
WITH invoices AS (
{OPEN_INVOICES.sql.strip()}
)
SELECT
  customer_id, name, count(*)::BIGINT AS invoices, max(days_late)::INTEGER AS days_late,
  sum(amount) AS amount
FROM invoices
GROUP BY customer_id, name
ORDER BY sum(amount) DESC, customer_id
LIMIT $limit
""",
    metric="ar_bucket",
)

CASH = Query(
    "cash_by_month",
    """
WITH days AS (
  SELECT
    date_trunc('month', cash.day)::DATE AS month,
    cash.day,
    coalesce(rates.opening_rate, 1) AS rate,
    cash.received_minor, cash.refunded_minor, cash.disputes_lost_minor, cash.fees_minor, cash.net_minor
  FROM warehouse.marts.fct_cash_days AS cash
  LEFT JOIN warehouse.marts.dim_month_rates AS rates
    ON rates.month = date_trunc('month', cash.day)::DATE AND rates.currency = cash.currency
  WHERE coalesce(rates.amount_currency, cash.currency) = $currency
    AND cash.day >= $first_month AND cash.day < $month::DATE + INTERVAL 1 MONTH
)
SELECT
  if($by_day, day, month) AS day,
  sum((received_minor * rate)::DECIMAL(38, 16)) AS received,
  -sum((refunded_minor * rate)::DECIMAL(38, 16)) AS refunded,
  -sum((disputes_lost_minor * rate)::DECIMAL(38, 16)) AS disputes_lost,
  -sum((fees_minor * rate)::DECIMAL(38, 16)) AS fees,
  sum((net_minor * rate)::DECIMAL(38, 16)) AS net
FROM days
GROUP BY ALL
ORDER BY day
""",
    metric="net_cash",
)

CASH_ROWS = Query(
    "cash_rows",
    """
SELECT
  event.event_on, event.event_kind, event.source_id, event.invoice_no, event.customer_id, customer.name,
  event.currency AS native_currency, event.net_minor AS native_minor,
  (event.net_minor * coalesce(rates.opening_rate, 1))::DECIMAL(38, 16) AS amount
FROM warehouse.marts.fct_cash_events AS event
LEFT JOIN warehouse.marts.dim_month_rates AS rates
  ON rates.month = date_trunc('month', event.event_on)::DATE AND rates.currency = event.currency
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = event.customer_id AND customer.is_current
WHERE event.event_on BETWEEN $from_day AND $to_day
  AND coalesce(rates.amount_currency, event.currency) = $currency
  AND ($segment = 'all' OR event.segment = $segment)
ORDER BY event.event_on DESC, abs(event.net_minor) DESC, event.event_kind, event.source_id
""",
    metric="net_cash",
)

# Owed at the close, and billed with tax in the 90 days up to it and not void by then.
DSO_ROWS = Query(
    "dso_rows",
    """
WITH parts AS (
  SELECT
    invoice_id, invoice_no, customer_id, currency, issued_on, due_on, total_minor, remaining_minor,
    settled_on,
    if(issued_on > $closed_on::DATE - 90 AND (voided_on IS NULL OR voided_on > $closed_on), total_minor, 0)
      AS billed_minor
  FROM warehouse.marts.fct_invoices
  WHERE issued_on <= $closed_on
    AND (issued_on > $closed_on::DATE - 90 OR settled_on IS NULL OR settled_on > $closed_on)
),
later AS (
  SELECT invoice_id, sum(amount_minor)::BIGINT AS amount_minor
  FROM warehouse.marts.fct_ar_events
  WHERE event_on > $closed_on
  GROUP BY invoice_id
),
at_close AS (
  SELECT
    parts.*,
    if(parts.settled_on <= $closed_on, 0, parts.remaining_minor - coalesce(later.amount_minor, 0))
      AS open_minor
  FROM parts
  LEFT JOIN later ON later.invoice_id = parts.invoice_id
)
SELECT
  at_close.invoice_no, at_close.customer_id, owner.name, at_close.issued_on, at_close.due_on,
  at_close.currency AS native_currency,
  if($segment = 'all' OR coalesce(owner.segment, 'unknown') = $segment,
    (at_close.open_minor * coalesce(rates.closing_rate, 1))::DECIMAL(38, 16), 0) AS owed,
  if($segment = 'all' OR coalesce(biller.segment, 'unknown') = $segment,
    (at_close.billed_minor * coalesce(rates.closing_rate, 1))::DECIMAL(38, 16), 0) AS billed
FROM at_close
LEFT JOIN warehouse.marts.dim_month_rates AS rates
  ON rates.month = $month AND rates.currency = at_close.currency
LEFT JOIN warehouse.marts.dim_customers AS owner ON owner.customer_id = at_close.customer_id
  AND owner.valid_from <= $closed_on AND (owner.valid_to IS NULL OR owner.valid_to > $closed_on)
LEFT JOIN warehouse.marts.dim_customers AS biller ON biller.customer_id = at_close.customer_id
  AND biller.valid_from <= at_close.issued_on
  AND (biller.valid_to IS NULL OR biller.valid_to > at_close.issued_on)
WHERE coalesce(rates.amount_currency, at_close.currency) = $currency
  AND (at_close.open_minor <> 0 OR at_close.billed_minor <> 0)
  AND ($segment = 'all' OR coalesce(owner.segment, 'unknown') = $segment
    OR coalesce(biller.segment, 'unknown') = $segment)
ORDER BY owed DESC, billed DESC, at_close.invoice_no
""",
    metric="dso",
)

DSO_METHOD = Query(
    "dso_method",
    "SELECT value FROM warehouse.marts.dim_policy WHERE setting = 'dso_method'",
)

DUNNING = Query(
    "dunning_stages",
    """
SELECT
  dunning.outcome, dunning.recovered_attempt,
  sum(dunning.invoices)::BIGINT AS invoices,
  sum(dunning.paid_invoices)::BIGINT AS paid_invoices,
  sum((dunning.failed_minor * coalesce(rates.opening_rate, 1))::DECIMAL(38, 16)) AS failed,
  sum((dunning.recovered_minor * coalesce(rates.opening_rate, 1))::DECIMAL(38, 16)) AS recovered
FROM warehouse.marts.fct_dunning_months AS dunning
LEFT JOIN warehouse.marts.dim_month_rates AS rates
  ON rates.month = dunning.cohort_month AND rates.currency = dunning.currency
WHERE dunning.cohort_month = $month
  AND coalesce(rates.amount_currency, dunning.currency) = $currency
  AND ($segment = 'all' OR dunning.segment = $segment)
GROUP BY dunning.outcome, dunning.recovered_attempt
ORDER BY dunning.outcome, dunning.recovered_attempt
""",
    metric="dunning_recovery",
)

# `paid_by` is the attempt that brought the money, 'otherwise' where none did, or null for all charges.
DUNNING_ROWS = Query(
    "dunning_rows",
    """
WITH rated AS (
  SELECT
    dunning.*,
    (dunning.failed_minor * coalesce(rates.opening_rate, 1))::DECIMAL(38, 16) AS failed,
    (dunning.recovered_minor * coalesce(rates.opening_rate, 1))::DECIMAL(38, 16) AS recovered
  FROM warehouse.marts.fct_dunning AS dunning
  LEFT JOIN warehouse.marts.dim_month_rates AS rates
    ON rates.month = dunning.cohort_month AND rates.currency = dunning.currency
  WHERE dunning.cohort_month = $cohort_month
    AND coalesce(rates.amount_currency, dunning.currency) = $currency
    AND ($segment = 'all' OR dunning.segment = $segment)
)
SELECT
  invoice.invoice_no, rated.customer_id, customer.name, rated.first_failed_on, rated.attempts, rated.outcome,
  rated.recovered_on, rated.currency AS native_currency, rated.failed_minor AS native_minor,
  rated.failed, rated.recovered, rated.failed - rated.recovered AS rest
FROM rated
LEFT JOIN warehouse.marts.fct_invoices AS invoice ON invoice.invoice_id = rated.invoice_id
LEFT JOIN warehouse.marts.dim_customers AS customer
  ON customer.customer_id = rated.customer_id AND customer.is_current
WHERE ($outcome = 'all' OR ($outcome = 'decided' AND rated.outcome <> 'pending') OR rated.outcome = $outcome)
  AND ($paid_by::VARCHAR IS NULL
    OR (rated.recovered > 0 AND coalesce(rated.recovered_attempt::VARCHAR, 'otherwise') = $paid_by))
ORDER BY rated.failed DESC, rated.invoice_id
""",
    metric="dunning_recovery",
)

RECOVERY = Query(
    "dunning_recovery_trend",
    """
SELECT month, numerator AS recovered, denominator AS failed, numerator / denominator AS share, customers
FROM warehouse.marts.fct_metric_values
WHERE metric_id = 'dunning_recovery' AND currency = $currency AND segment = $segment
  AND month BETWEEN $first_month AND $month AND denominator > 0
ORDER BY month
""",
    metric="dunning_recovery",
)
