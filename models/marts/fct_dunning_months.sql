select
  cohort_month,
  currency,
  segment,
  outcome,
  recovered_attempt,
  count(*) as invoices,
  count(*) filter (recovered_minor > 0) as paid_invoices,
  sum(failed_minor)::bigint as failed_minor,
  sum(recovered_minor)::bigint as recovered_minor
from {{ ref('fct_dunning') }}
group by cohort_month, currency, segment, outcome, recovered_attempt
