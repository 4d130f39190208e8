-- One row per month from the first fact of subscriptions, invoices or money to the as-of month, with the day its
-- snapshot is taken.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
first_facts as (
  select {{ snapshot_month('min(valid_from)') }} as month from {{ ref('int_item_versions') }}
  {% for fact, day in [('invoices', 'issued_on'), ('invoice_lines', 'service_start'), ('credit_notes', 'issued_on'),
    ('payments', 'received_on'), ('refunds', 'refunded_on'), ('disputes', 'opened_on')] -%}
  union all
  select date_trunc('month', min({{ day }}))::date as month from {{ ref('stg_billing__' ~ fact) }}
  {% endfor -%}
),
months as (
  select unnest(generate_series((select min(month) from first_facts), as_of_month, interval 1 month))::date as month
  from build
),
with_days as (
  select month, {{ snapshot_day('month') }} as snapshot_on from months
)
select
  with_days.month,
  with_days.snapshot_on,
  with_days.snapshot_on > build.as_of as is_provisional
from with_days
cross join build
