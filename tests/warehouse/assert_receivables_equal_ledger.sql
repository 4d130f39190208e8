-- What remains of all invoices is the ledger's receivable of the as-of day, where there is a ledger.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
ledger as (
  select currency, sum(amount_minor) as receivable_minor
  from {{ ref('stg_billing__ledger_entries') }}
  where account = 'receivable' and posted_on <= (select as_of from build)
  group by currency
),
balances as (
  select currency, sum(remaining_minor) as remaining_minor
  from {{ ref('int_invoice_balances') }}
  where valid_to is null
  group by currency
)
select *
from ledger
left join balances using (currency)
where ledger.receivable_minor <> coalesce(balances.remaining_minor, 0)
