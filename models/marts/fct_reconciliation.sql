-- From MRR to what is earned, on to what is invoiced, and on to the cash received, by month and currency. Every step is
-- summed from rows of its own, never as the rest; what then remains is a step with a name.
{% set mrr_steps = [
  'timing', 'calendar', 'not_billed', 'not_yet_billed', 'billed_without_mrr', 'committed_minimums', 'usage', 'one_off_and_fees',
  'goods_units', 'goods_prices', 'other_discounts', 'once_discounts', 'billed_again', 'cut_reversals', 'credits'
] -%}
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
test_customers as (
  select attributes.customer_id
  from {{ ref('int_customer_attributes') }} as attributes
  cross join build
  where attributes.is_test
    and attributes.valid_from <= build.as_of
    and attributes.valid_to > build.as_of
),
invoices as (
  select
    invoice_id, currency, issued_on, date_trunc('month', issued_on)::date as month,
    net_minor, tax_minor, total_minor, voided_on
  from {{ ref('stg_billing__invoices') }}
  anti join test_customers using (customer_id)
  where issued_on <= (select as_of from build)
),
revenue as (
  select
    month,
    currency,
    sum(recognised_minor) as recognised,
    sum(credited_minor) as credited,
    count(*) filter (where document_kind = 'invoice') as lines,
    sum(deferred_closing_minor - deferred_opening_minor) as deferred_change
  from {{ ref('fct_revenue_months') }}
  group by month, currency
),
invoiced as (
  select month, currency, sum(net_minor) as net, sum(tax_minor) as tax, sum(total_minor) as gross
  from invoices
  group by month, currency
),
top_ups as (
  select invoices.month, invoices.currency, sum(lines.net_minor) as top_ups
  from {{ ref('stg_billing__invoice_lines') }} as lines
  join invoices using (invoice_id)
  where lines.kind = 'top_up'
  group by invoices.month, invoices.currency
),
-- an invoice is paid and credited from its issue on
applied as (
  select
    invoices.invoice_id,
    invoices.currency,
    applications.source_kind,
    applications.amount_minor,
    greatest(applications.applied_on, invoices.issued_on) as applied_on
  from {{ ref('stg_billing__applications') }} as applications
  join invoices using (invoice_id)
  where applications.applied_on <= (select as_of from build)
),
-- on the days it came about; below 0 where it was taken back into the books
written_off as (
  select invoice_id, currency, event_on as written_off_on, -amount_minor as written_off_minor
  from {{ ref('int_invoice_changes') }}
  where event_kind = 'written_off' and not is_test
),
-- what was still owed when an invoice was voided: 0 where a credit note settled it
voided as (
  select
    invoices.invoice_id,
    invoices.currency,
    invoices.voided_on,
    invoices.total_minor
      - coalesce((
        select sum(applied.amount_minor) from applied
        where applied.invoice_id = invoices.invoice_id and applied.applied_on <= invoices.voided_on
      ), 0)
      - coalesce((
        select sum(written_off.written_off_minor) from written_off
        where written_off.invoice_id = invoices.invoice_id and written_off.written_off_on <= invoices.voided_on
      ), 0) as voided_minor
  from invoices
  where invoices.voided_on <= (select as_of from build)
),
payments as (
  select payment_id, currency, amount_minor, received_on
  from {{ ref('stg_billing__payments') }}
  anti join test_customers using (customer_id)
  where received_on <= (select as_of from build)
),
refunds as (
  select refunds.amount_minor, refunds.currency, refunds.refunded_on
  from {{ ref('stg_billing__refunds') }} as refunds
  semi join payments using (payment_id)
  where refunds.refunded_on <= (select as_of from build)
),
-- a bank takes disputed money back at once, and gives it again when the dispute is won
disputes as (
  select amount_minor, currency, opened_on as moved_on
  from {{ ref('stg_billing__disputes') }}
  semi join payments using (payment_id)
  union all
  select -amount_minor as amount_minor, currency, closed_on as moved_on
  from {{ ref('stg_billing__disputes') }}
  semi join payments using (payment_id)
  where outcome = 'won'
),
cash_rows as (
  select balances.currency, balances.valid_from as moved_on, 'receivables' as part, balances.remaining_minor as amount_minor
  from {{ ref('int_invoice_balances') }} as balances
  semi join invoices using (invoice_id)
  union all
  select balances.currency, balances.valid_to as moved_on, 'receivables' as part, -balances.remaining_minor as amount_minor
  from {{ ref('int_invoice_balances') }} as balances
  semi join invoices using (invoice_id)
  where balances.valid_to <= (select as_of from build)
  union all
  select currency, written_off_on, 'written_off' as part, written_off_minor from written_off
  union all
  select currency, applied_on, 'credits' as part, amount_minor from applied where source_kind <> 'payment'
  union all
  select currency, applied_on, 'paid' as part, amount_minor from applied where source_kind = 'payment'
  union all
  select currency, voided_on, 'voided' as part, voided_minor from voided
  union all
  select currency, received_on, 'received' as part, amount_minor from payments
  union all
  select currency, refunded_on, 'refunded' as part, amount_minor from refunds
  union all
  select currency, moved_on, 'disputed' as part, amount_minor from disputes where moved_on <= (select as_of from build)
),
cash as (
  select
    date_trunc('month', moved_on)::date as month,
    currency,
    {% for part in ['receivables', 'written_off', 'credits', 'paid', 'voided', 'received', 'refunded', 'disputed'] -%}
    coalesce(sum(amount_minor) filter (where part = '{{ part }}'), 0) as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from cash_rows
  group by all
),
currencies as (
  select currency, min(month) as first_month
  from (
    select month, currency from {{ ref('int_reconciliation_months') }}
    union all
    select month, currency from invoiced
    union all
    select month, currency from cash
  ) as changed
  group by currency
),
months as (
  select
    currencies.currency,
    unnest(generate_series(currencies.first_month, build.as_of_month, interval 1 month))::date as month
  from currencies
  cross join build
),
figures as (
  select
    months.month,
    months.currency,
    coalesce(from_mrr.closing_mrr, 0) as closing_mrr,
    {% for step in mrr_steps -%}
    coalesce(from_mrr.{{ step }}, 0) as mrr_{{ step }},
    {% endfor -%}
    coalesce(revenue.lines, 0) as lines,
    coalesce(revenue.recognised, 0) as recognised,
    coalesce(revenue.credited, 0) as credited,
    coalesce(sum(revenue.deferred_change) over by_month, 0) as deferred_closing,
    coalesce(sum(revenue.deferred_change) over before, 0) as deferred_opening,
    coalesce(top_ups.top_ups, 0) as top_ups,
    coalesce(invoiced.net, 0) as net,
    coalesce(invoiced.tax, 0) as tax,
    coalesce(invoiced.gross, 0) as gross,
    {% for part in ['receivables', 'written_off', 'credits', 'paid', 'voided', 'received', 'refunded', 'disputed'] -%}
    coalesce(cash.{{ part }}, 0) as {{ part }},
    {% endfor -%}
    coalesce(cash.received - cash.paid - cash.refunded - cash.disputed, 0) as unapplied
  from months
  left join {{ ref('int_reconciliation_months') }} as from_mrr using (month, currency)
  left join revenue using (month, currency)
  left join invoiced using (month, currency)
  left join top_ups using (month, currency)
  left join cash using (month, currency)
  window
    by_month as (partition by months.currency order by months.month),
    before as (
      partition by months.currency order by months.month rows between unbounded preceding and 1 preceding
    )
),
walks as (
  select
    month,
    currency,
    gross,
    lines,
    unnest([
      {'walk': 'mrr_to_recognised', 'step': 'closing_mrr', 'kind': 'figure', 'amount': closing_mrr},
      {% for step in mrr_steps -%}
      {'walk': 'mrr_to_recognised', 'step': '{{ step }}', 'kind': 'change', 'amount': mrr_{{ step }}},
      {% endfor -%}
      {'walk': 'mrr_to_recognised', 'step': 'unexplained_a', 'kind': 'unexplained',
        'amount': recognised - (closing_mrr{% for step in mrr_steps %} + mrr_{{ step }}{% endfor %})},
      {'walk': 'recognised_to_invoiced', 'step': 'recognised', 'kind': 'figure', 'amount': recognised},
      {'walk': 'recognised_to_invoiced', 'step': 'deferred_closing', 'kind': 'change', 'amount': deferred_closing},
      {'walk': 'recognised_to_invoiced', 'step': 'deferred_opening', 'kind': 'change', 'amount': -deferred_opening},
      {'walk': 'recognised_to_invoiced', 'step': 'credited', 'kind': 'change', 'amount': credited},
      {'walk': 'recognised_to_invoiced', 'step': 'wallet_top_ups', 'kind': 'change', 'amount': top_ups},
      {'walk': 'recognised_to_invoiced', 'step': 'unexplained_b', 'kind': 'unexplained',
        'amount': net - (recognised + deferred_closing - deferred_opening + credited + top_ups)},
      {'walk': 'recognised_to_invoiced', 'step': 'net_invoiced', 'kind': 'figure', 'amount': net},
      {'walk': 'invoiced_to_gross', 'step': 'tax', 'kind': 'change', 'amount': tax},
      {'walk': 'invoiced_to_gross', 'step': 'gross_invoiced', 'kind': 'figure', 'amount': gross},
      {'walk': 'gross_to_cash', 'step': 'receivables_change', 'kind': 'change', 'amount': -receivables},
      {'walk': 'gross_to_cash', 'step': 'written_off', 'kind': 'change', 'amount': -written_off},
      {'walk': 'gross_to_cash', 'step': 'credits_applied', 'kind': 'change', 'amount': -credits},
      {'walk': 'gross_to_cash', 'step': 'voided', 'kind': 'change', 'amount': -voided},
      {'walk': 'gross_to_cash', 'step': 'unapplied_change', 'kind': 'change', 'amount': unapplied},
      {'walk': 'gross_to_cash', 'step': 'refunded', 'kind': 'change', 'amount': refunded},
      {'walk': 'gross_to_cash', 'step': 'disputed', 'kind': 'change', 'amount': disputed},
      {'walk': 'gross_to_cash', 'step': 'unexplained_c', 'kind': 'unexplained',
        'amount': received
          - (gross - receivables - written_off - credits - voided + unapplied + refunded + disputed)},
      {'walk': 'gross_to_cash', 'step': 'cash_received', 'kind': 'figure', 'amount': received}
    ]) as step,
    generate_subscripts(range({{ 20 + mrr_steps | length }}), 1) as step_no
  from figures
)
select
  month,
  currency,
  step_no::integer as step_no,
  step.walk as walk,
  step.step as step,
  step.kind as kind,
  step.amount::decimal(38, 6) as amount,
  case
    when step.kind <> 'unexplained' then null
    -- every line rounds its price and what is earned of it by a month
    when step.step = 'unexplained_a' and abs(step.amount) <= lines then 'fine'
    when 50 * abs(step.amount) > abs(gross) then 'mark'
    when 200 * abs(step.amount) > abs(gross) then 'warn'
    else 'fine'
  end::varchar as status
from walks
