-- The parts of the metrics of money asked for and received, by month, currency and segment. Balances stand at the rate of
-- the month's close, what moved in a month at that of its opening; a currency without rates stays as it is. A segment is
-- that of the payer on the day of the figure.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
policy as (
  select dso_method from {{ ref('stg_meta__policy') }}
),
attributes as (
  select customer_id, valid_from, valid_to, segment from {{ ref('int_customer_attributes') }}
),
months as (
  select
    months.month,
    least({{ add_months('months.month', 1) }} - 1, build.as_of) as closed_on,
    least(months.snapshot_on, build.as_of) as snapshot_on
  from {{ ref('int_report_months') }} as months
  cross join build
),
rates as (
  select month, currency, amount_currency, opening_rate, closing_rate from {{ ref('int_month_rates') }}
),
-- what is owed, and received without paying anything yet, at each close
balances as (
  select
    months.month,
    coalesce(rates.amount_currency, stretches.currency) as currency,
    stretches.segment,
    stretches.bucket,
    stretches.customer_id,
    (stretches.remaining_minor * coalesce(rates.closing_rate, 1))::decimal(38, 16) as amount
  from months
  join {{ ref('int_ar_stretches') }} as stretches
    on stretches.valid_from <= months.closed_on
    and stretches.valid_to > months.closed_on
  left join rates on rates.month = months.month and rates.currency = stretches.currency
),
receivables as (
  select
    month,
    currency,
    coalesce(segment, 'all') as segment,
    sum(amount) filter (where bucket <> 'unapplied') as ar_total,
    count(distinct customer_id) filter (where bucket <> 'unapplied') as ar_customers,
    {% for bucket in ['current', 'd1_30', 'd31_60', 'd61_90', 'd91_plus', 'unapplied'] -%}
    sum(amount) filter (where bucket = '{{ bucket }}') as ar_{{ bucket }},
    count(distinct customer_id) filter (where bucket = '{{ bucket }}') as ar_{{ bucket }}_customers{{ ',' if not loop.last }}
    {% endfor %}
  from balances
  group by grouping sets ((month, currency), (month, currency, segment))
),
issued as (
  select
    invoices.customer_id,
    invoices.currency,
    attributes.segment,
    invoices.issued_on,
    case when invoices.voided_on <= build.as_of then invoices.voided_on end as voided_on,
    invoices.total_minor
  from {{ ref('stg_billing__invoices') }} as invoices
  cross join build
  join attributes
    on attributes.customer_id = invoices.customer_id
    and attributes.valid_from <= invoices.issued_on
    and attributes.valid_to > invoices.issued_on
  where invoices.issued_on <= build.as_of
    and invoices.invoice_id in (select invoice_id from {{ ref('int_invoice_balances') }} where not is_test)
),
-- an invoice that was void by the close was never to be paid
billed as (
  select
    months.month,
    coalesce(rates.amount_currency, issued.currency) as currency,
    coalesce(issued.segment, 'all') as segment,
    sum((issued.total_minor * coalesce(rates.closing_rate, 1))::decimal(38, 16)) as billed,
    count(distinct issued.customer_id) as customers
  from months
  join issued
    on issued.issued_on > months.closed_on - 90
    and issued.issued_on <= months.closed_on
    and (issued.voided_on is null or issued.voided_on > months.closed_on)
  left join rates on rates.month = months.month and rates.currency = issued.currency
  group by grouping sets (
    (months.month, coalesce(rates.amount_currency, issued.currency)),
    (months.month, coalesce(rates.amount_currency, issued.currency), issued.segment)
  )
),
-- counting back: the billing of the last months, whole, until it makes up what is owed; the rest as a part of a month
issued_months as (
  select
    date_trunc('month', issued_on)::date as issue_month,
    date_trunc('month', voided_on)::date as void_month,
    currency,
    segment,
    sum(total_minor) as total_minor
  from issued
  where (select dso_method from policy) = 'countback'
  group by all
),
billed_months as (
  select
    months.month,
    issued_months.issue_month,
    coalesce(rates.amount_currency, issued_months.currency) as currency,
    coalesce(issued_months.segment, 'all') as segment,
    sum((issued_months.total_minor::bigint * coalesce(rates.closing_rate, 1))::decimal(38, 16)) as billed
  from months
  join issued_months
    on issued_months.issue_month <= months.month
    and (issued_months.void_month is null or issued_months.void_month > months.month)
  left join rates on rates.month = months.month and rates.currency = issued_months.currency
  group by grouping sets (
    (months.month, issued_months.issue_month, coalesce(rates.amount_currency, issued_months.currency)),
    (months.month, issued_months.issue_month, coalesce(rates.amount_currency, issued_months.currency), issued_months.segment)
  )
),
issue_calendar as (
  select unnest(generate_series(
    (select min(issue_month) from issued_months), (select as_of_month from build), interval 1 month
  ))::date as issue_month
),
counted_months as (
  select
    receivables.month,
    receivables.currency,
    receivables.segment,
    receivables.ar_total,
    calendar.issue_month,
    case when calendar.issue_month = months.month then day(months.closed_on) else day(last_day(calendar.issue_month)) end
      as days,
    coalesce(billed_months.billed, 0) as billed,
    sum(coalesce(billed_months.billed, 0)) over back_in_time as billed_since
  from receivables
  join months using (month)
  join issue_calendar as calendar on calendar.issue_month <= receivables.month
  left join billed_months
    on billed_months.month = receivables.month
    and billed_months.currency = receivables.currency
    and billed_months.segment = receivables.segment
    and billed_months.issue_month = calendar.issue_month
  where receivables.ar_total > 0
  window back_in_time as (
    partition by receivables.month, receivables.currency, receivables.segment order by calendar.issue_month desc
  )
),
-- days = whole days + days of the last month x rest / its billing, over the one denominator; null where the owed of a
-- segment was billed to another
counted as (
  select
    month,
    currency,
    segment,
    coalesce(sum(days) filter (where billed_since <= ar_total and billed_since - billed < ar_total), 0)::bigint as whole_days,
    max(days) filter (where billed_since > ar_total and billed_since - billed < ar_total) as last_days,
    max(ar_total - billed_since + billed) filter (where billed_since > ar_total and billed_since - billed < ar_total)
      as rest,
    max(billed) filter (where billed_since > ar_total and billed_since - billed < ar_total) as last_billed,
    max(billed_since) >= max(ar_total) as is_covered
  from counted_months
  group by month, currency, segment
),
cash as (
  select
    date_trunc('month', events.event_on)::date as month,
    coalesce(rates.amount_currency, events.currency) as currency,
    coalesce(coalesce(attributes.segment, 'unknown'), 'all') as segment,
    sum((
      case when events.event_kind = 'received' then events.amount_minor else -events.amount_minor end
      * coalesce(rates.opening_rate, 1)
    )::decimal(38, 16)) as net_cash,
    count(distinct events.customer_id) as customers
  from {{ ref('int_cash_events') }} as events
  left join attributes
    on attributes.customer_id = events.customer_id
    and attributes.valid_from <= events.event_on
    and attributes.valid_to > events.event_on
  left join rates on rates.month = date_trunc('month', events.event_on)::date and rates.currency = events.currency
  where events.event_kind in ('received', 'refunded', 'dispute_lost', 'fee') and not events.is_test
  group by grouping sets (
    (date_trunc('month', events.event_on)::date, coalesce(rates.amount_currency, events.currency)),
    (date_trunc('month', events.event_on)::date, coalesce(rates.amount_currency, events.currency),
      coalesce(attributes.segment, 'unknown'))
  )
),
dunning as (
  select
    dunning.cohort_month as month,
    coalesce(rates.amount_currency, dunning.currency) as currency,
    coalesce(dunning.segment, 'all') as segment,
    sum((dunning.recovered_minor * coalesce(rates.opening_rate, 1))::decimal(38, 16))
      filter (where dunning.outcome <> 'pending') as recovered,
    sum((dunning.failed_minor * coalesce(rates.opening_rate, 1))::decimal(38, 16))
      filter (where dunning.outcome <> 'pending') as failed,
    sum((dunning.failed_minor * coalesce(rates.opening_rate, 1))::decimal(38, 16))
      filter (where dunning.outcome = 'pending') as pending,
    count(distinct dunning.customer_id) filter (where dunning.outcome <> 'pending') as customers,
    count(distinct dunning.customer_id) filter (where dunning.outcome = 'pending') as pending_customers
  from {{ ref('fct_dunning') }} as dunning
  left join rates on rates.month = dunning.cohort_month and rates.currency = dunning.currency
  group by grouping sets (
    (dunning.cohort_month, coalesce(rates.amount_currency, dunning.currency)),
    (dunning.cohort_month, coalesce(rates.amount_currency, dunning.currency), dunning.segment)
  )
),
-- the customers of figures that, themselves or by one they are the parent of, are late at the month's close
late_customers as (
  select distinct months.month, coalesce(parents.unit_customer_id, balances.customer_id) as customer_id
  from months
  join {{ ref('int_invoice_balances') }} as balances
    on balances.valid_from <= months.snapshot_on
    and (balances.valid_to is null or balances.valid_to > months.snapshot_on)
    and balances.due_on < months.snapshot_on
  left join {{ ref('int_customer_parents') }} as parents
    on parents.customer_id = balances.customer_id
    and parents.valid_from <= months.snapshot_on
    and parents.valid_to > months.snapshot_on
  where balances.remaining_minor > 0 and not balances.is_test
),
late_mrr as (
  select
    months.month,
    coalesce(rates.amount_currency, spells.currency) as currency,
    coalesce(spells.segment, 'all') as segment,
    sum((spells.mrr_native * coalesce(rates.closing_rate, 1))::decimal(38, 16)) as mrr,
    count(distinct spells.customer_id) as customers
  from late_customers
  join months using (month)
  join {{ ref('fct_mrr_spells') }} as spells
    on spells.customer_id = late_customers.customer_id
    and spells.valid_from <= months.snapshot_on
    and (spells.valid_to is null or spells.valid_to > months.snapshot_on)
  left join rates on rates.month = months.month and rates.currency = spells.currency
  group by grouping sets (
    (months.month, coalesce(rates.amount_currency, spells.currency)),
    (months.month, coalesce(rates.amount_currency, spells.currency), spells.segment)
  )
),
cells as (
  select currency, segment, min(month) as first_month
  from (
    select month, currency, segment from receivables
    union all
    select month, currency, segment from billed
    union all
    select month, currency, segment from cash
    union all
    select month, currency, segment from dunning
    union all
    select month, currency, segment from late_mrr
  ) as parts
  group by currency, segment
),
parts as (
  select
    months.month,
    cells.currency,
    cells.segment,
    coalesce(receivables.ar_total, 0) as ar_total,
    coalesce(receivables.ar_customers, 0) as ar_customers,
    {% for bucket in ['current', 'd1_30', 'd31_60', 'd61_90', 'd91_plus', 'unapplied'] -%}
    coalesce(receivables.ar_{{ bucket }}, 0) as ar_{{ bucket }},
    coalesce(receivables.ar_{{ bucket }}_customers, 0) as ar_{{ bucket }}_customers,
    {% endfor -%}
    case
      when policy.dso_method = 'balance_90_days' then 90 * coalesce(receivables.ar_total, 0)
      when counted.month is null then 0
      when counted.is_covered
        then counted.whole_days * coalesce(counted.last_billed, 1) + coalesce(counted.rest * counted.last_days, 0)
    end as dso_days,
    case
      when policy.dso_method = 'balance_90_days' or counted.month is null then coalesce(billed.billed, 0)
      else coalesce(counted.last_billed, 1)
    end as dso_base,
    coalesce(billed.customers, 0) as billed_customers,
    coalesce(cash.net_cash, 0) as net_cash,
    coalesce(cash.customers, 0) as cash_customers,
    coalesce(dunning.recovered, 0) as recovered,
    coalesce(dunning.failed, 0) as failed,
    coalesce(dunning.customers, 0) as failed_customers,
    coalesce(dunning.pending, 0) as pending,
    coalesce(dunning.pending_customers, 0) as pending_customers,
    coalesce(late_mrr.mrr, 0) as late_mrr,
    coalesce(late_mrr.customers, 0) as late_customers
  from cells
  join months on months.month >= cells.first_month
  cross join policy
  left join receivables using (month, currency, segment)
  left join billed using (month, currency, segment)
  left join counted using (month, currency, segment)
  left join cash using (month, currency, segment)
  left join dunning using (month, currency, segment)
  left join late_mrr using (month, currency, segment)
),
metrics as (
  select
    month,
    currency,
    segment,
    unnest([
      {{ metric_value('ar_total', 'ar_total', none, 'ar_customers') }},
      {% for bucket in ['current', 'd1_30', 'd31_60', 'd61_90', 'd91_plus', 'unapplied'] -%}
      {{ metric_value('ar_' ~ bucket, 'ar_' ~ bucket, none, 'ar_' ~ bucket ~ '_customers') }},
      {% endfor -%}
      {{ metric_value('dso', 'dso_days', 'dso_base', 'billed_customers',
        reason="case when dso_days is null then 'owed_was_billed_elsewhere' else 'nothing_billed' end") }},
      {{ metric_value('net_cash', 'net_cash', none, 'cash_customers') }},
      {{ metric_value('dunning_recovery', 'recovered', 'failed', 'failed_customers', 'nothing_failed') }},
      {{ metric_value('dunning_pending', 'pending', none, 'pending_customers') }},
      {{ metric_value('mrr_past_due', 'late_mrr', none, 'late_customers') }}
    ]) as metric
  from parts
)
select
  month,
  currency,
  segment,
  metric.metric_id::varchar as metric_id,
  metric.numerator as numerator,
  metric.denominator as denominator,
  metric.customers::decimal(38, 16) as customers,
  case when metric.numerator is null or metric.denominator = 0 then metric.why_null end as why_null
from metrics
