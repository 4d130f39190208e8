-- What is owed at each month end, and on the as-of day, is the ledger's receivable of that day, where there is a ledger.
-- Test customers are left out of both.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
ledger as (
  select entries.posted_on as event_on, entries.currency, entries.amount_minor as posted_minor, 0 as owed_minor
  from {{ ref('stg_billing__ledger_entries') }} as entries
  cross join build
  left join {{ ref('stg_billing__invoices') }} as invoices using (invoice_id)
  left join {{ ref('dim_customers') }} as customers
    on customers.customer_id = invoices.customer_id and customers.is_current
  where entries.account = 'receivable'
    and entries.posted_on <= build.as_of
    and not coalesce(customers.is_test, false)
),
both_sides as (
  select event_on, currency, posted_minor, owed_minor from ledger
  union all
  select event_on, currency, 0 as posted_minor, amount_minor as owed_minor from {{ ref('fct_ar_events') }}
),
-- running sums of both: a month in which only one of them moves shows as a difference
month_ends as (
  select
    date_trunc('month', event_on)::date as month,
    currency,
    sum(posted_minor) as posted_minor,
    sum(owed_minor) as owed_minor
  from both_sides
  group by date_trunc('month', event_on), currency
),
balances as (
  select
    month,
    currency,
    sum(posted_minor) over by_month as posted_minor,
    sum(owed_minor) over by_month as owed_minor
  from month_ends
  window by_month as (partition by currency order by month)
)
select *
from balances
where posted_minor <> owed_minor
  and exists (select * from {{ ref('stg_billing__ledger_entries') }} where account = 'receivable')
