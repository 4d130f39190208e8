-- What was billed less what was credited is what the books posted to deferred revenue, month by month, where a source
-- brings books. Recognition is not posted there.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
posted as (
  select
    source_system,
    date_trunc('month', posted_on) as month,
    currency,
    -sum(amount_minor) filter (where account = 'deferred_revenue') as posted_minor
  from {{ ref('stg_billing__ledger_entries') }}
  where posted_on <= (select as_of from build)
  group by all
),
billed as (
  select source_system, date_trunc('month', issued_on) as month, currency, sum(net_minor) as billed_minor
  from {{ ref('int_revenue_lines') }}
  where source_system in (select source_system from posted)
  group by all
)
select *
from posted
full join billed using (source_system, month, currency)
where coalesce(posted.posted_minor, 0) <> coalesce(billed.billed_minor, 0)
