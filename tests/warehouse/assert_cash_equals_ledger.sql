-- Money received less refunds and what the bank holds for disputes is what the ledger has of it, at each month end and on
-- the as-of day, where there is a ledger. The ledger posts fees with the payout and a transfer before it is matched:
-- fees paid and receipts of nobody known are added back. A match that was undone leaves no receipt; a currency with one
-- is compared on the as-of day alone.
with build as (
  select as_of, (select reporting_timezone from {{ ref('stg_meta__policy') }}) as time_zone
  from {{ ref('stg_meta__build') }}
),
undone as (
  select currency, amount_minor, attempted_on, (recorded_at at time zone build.time_zone)::date as undone_on
  from {{ ref('stg_billing__payments') }}
  cross join build
  where status = 'undone'
),
amounts as (
  select posted_on as event_on, currency, amount_minor as posted_minor, 0 as moved_minor
  from {{ ref('stg_billing__ledger_entries') }}
  cross join build
  where account in ('cash', 'payment_fees', 'unallocated_receipts') and posted_on <= build.as_of
  union all
  select
    event_on,
    currency,
    0 as posted_minor,
    case when event_kind in ('received', 'dispute_won') then amount_minor else -amount_minor end as moved_minor
  from {{ ref('int_cash_events') }}
  where event_kind in ('received', 'refunded', 'dispute_opened', 'dispute_won')
  union all
  select build.as_of as event_on, undone.currency, 0 as posted_minor, undone.amount_minor as moved_minor
  from undone
  cross join build
  where undone.attempted_on <= build.as_of and undone.undone_on > build.as_of
),
month_ends as (
  select
    date_trunc('month', event_on)::date as month,
    currency,
    sum(posted_minor) as posted_minor,
    sum(moved_minor) as moved_minor
  from amounts
  group by date_trunc('month', event_on), currency
),
balances as (
  select
    month,
    currency,
    sum(posted_minor) over by_month as posted_minor,
    sum(moved_minor) over by_month as moved_minor,
    row_number() over (partition by currency order by month desc) = 1 as is_last
  from month_ends
  window by_month as (partition by currency order by month)
)
select *
from balances
where posted_minor <> moved_minor
  and (is_last or currency not in (select currency from undone))
  and exists (select * from {{ ref('stg_billing__ledger_entries') }} where account = 'cash')
