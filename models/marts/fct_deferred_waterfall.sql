-- What was issued in a month, and in which months it is earned: known by the as-of day, and scheduled after it.
with parts as (
  select
    date_trunc('month', issued_on)::date as issued_month,
    month as recognised_month,
    is_scheduled,
    currency,
    segment,
    sum(billed_minor - credited_minor) as issued_minor,
    sum(recognised_minor) as recognised_minor
  from {{ ref('int_revenue_line_months') }}
  where not is_test
  group by all
  having sum(billed_minor - credited_minor) <> 0 or sum(recognised_minor) <> 0
)
select
  issued_month,
  recognised_month,
  is_scheduled,
  currency,
  segment,
  issued_minor::bigint as issued_minor,
  recognised_minor::bigint as recognised_minor,
  sum(issued_minor - recognised_minor) over (
    partition by issued_month, currency, segment order by recognised_month, is_scheduled
  )::bigint as deferred_closing_minor
from parts
