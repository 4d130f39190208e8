-- What each line earned by the as-of day, month by month.
select
  document_kind,
  line_id,
  month,
  document_id,
  customer_id,
  segment,
  currency,
  kind,
  issued_on,
  billed_minor,
  credited_minor,
  recognised_minor,
  deferred_opening_minor,
  deferred_closing_minor
from {{ ref('int_revenue_line_months') }}
where not is_scheduled and not is_test
