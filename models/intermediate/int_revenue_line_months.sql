-- One row per line and month in which its revenue or its deferred balance changes. Earned up to a day is the line's
-- share by days, half up, of a running total; a month is the difference of two. The as-of month closes on the as-of day;
-- what is still to be earned after it follows as scheduled rows, the rest of the as-of month among them. A credit
-- counts from its issue: what falls on days before is taken back in that month, so that earlier months stay as they were.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
lines as (
  select
    *,
    date_trunc('month', case when document_kind = 'invoice' then least(earned_start, issued_on) else issued_on end)
      as first_month,
    date_trunc('month', greatest(earned_end - 1, issued_on)) as last_month
  from {{ ref('int_revenue_lines') }}
  where net_minor <> 0
),
line_months as (
  select * exclude (first_month, last_month), unnest(generate_series(first_month, last_month, interval 1 month))::date as month
  from lines
),
closes as (
  select
    line_months.*,
    unnest(case
      when line_months.month = build.as_of_month and build.as_of < {{ add_months('line_months.month', 1) }} - 1
        then [build.as_of, {{ add_months('line_months.month', 1) }} - 1]
      else [{{ add_months('line_months.month', 1) }} - 1]
    end) as closed_on
  from line_months
  cross join build
),
served as (
  select
    *,
    (earned_end - earned_start)::hugeint as days,
    greatest(least(closed_on + 1, earned_end) - earned_start, 0)::hugeint as days_served,
    case when issued_on <= closed_on then net_minor else 0 end as issued_minor
  from closes
),
states as (
  select
    *,
    sign(net_minor) * ((2 * abs(net_minor) * days_served + days) // (2 * days)) as recognised_up_to
  from served
),
changes as (
  select
    *,
    issued_minor - lag(issued_minor, 1, 0) over by_day as issued_change,
    recognised_up_to - lag(recognised_up_to, 1, 0) over by_day as recognised_change,
    lag(issued_minor - recognised_up_to, 1, 0) over by_day as deferred_before
  from states
  window by_day as (partition by document_kind, line_id order by closed_on)
)
select
  changes.document_kind,
  changes.line_id,
  changes.month,
  changes.closed_on > build.as_of as is_scheduled,
  changes.document_id,
  changes.kind,
  changes.customer_id,
  changes.segment,
  changes.is_test,
  changes.currency,
  changes.issued_on,
  case when changes.document_kind = 'invoice' then changes.issued_change else 0 end::bigint as billed_minor,
  case when changes.document_kind = 'invoice' then 0 else -changes.issued_change end::bigint as credited_minor,
  changes.recognised_change::bigint as recognised_minor,
  changes.deferred_before::bigint as deferred_opening_minor,
  (changes.issued_minor - changes.recognised_up_to)::bigint as deferred_closing_minor
from changes
cross join build
where changes.issued_change <> 0 or changes.recognised_change <> 0
