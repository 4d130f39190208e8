-- The months hold each invoice whose charge failed once, with what failed and what came.
with invoices as (
  select
    cohort_month, currency, segment, outcome, recovered_attempt,
    count(distinct invoice_id) as invoices, count(distinct case when recovered_minor > 0 then invoice_id end) as paid_invoices,
    sum(failed_minor) as failed_minor, sum(recovered_minor) as recovered_minor
  from {{ ref('fct_dunning') }}
  group by cohort_month, currency, segment, outcome, recovered_attempt
)
select cohort_month, currency, segment, outcome
from (
  select cohort_month, currency, segment, outcome, recovered_attempt, invoices, paid_invoices, failed_minor, recovered_minor
  from invoices
  union all
  select
    cohort_month, currency, segment, outcome, recovered_attempt, -invoices, -paid_invoices, -failed_minor, -recovered_minor
  from {{ ref('fct_dunning_months') }}
) as both_sides
group by cohort_month, currency, segment, outcome, recovered_attempt
having sum(invoices) <> 0 or sum(paid_invoices) <> 0 or sum(failed_minor) <> 0 or sum(recovered_minor) <> 0
