-- From what is earned to what is invoiced, by month and currency. Every step is summed from rows of its own, never as
-- the rest; what then remains is a step with a name.
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
  select invoice_id, currency, date_trunc('month', issued_on)::date as month, net_minor, tax_minor, total_minor
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
currencies as (
  select currency, min(month) as first_month
  from (
    select month, currency from revenue
    union all
    select month, currency from invoiced
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
    coalesce(revenue.recognised, 0) as recognised,
    coalesce(revenue.credited, 0) as credited,
    coalesce(sum(revenue.deferred_change) over by_month, 0) as deferred_closing,
    coalesce(sum(revenue.deferred_change) over before, 0) as deferred_opening,
    coalesce(top_ups.top_ups, 0) as top_ups,
    coalesce(invoiced.net, 0) as net,
    coalesce(invoiced.tax, 0) as tax,
    coalesce(invoiced.gross, 0) as gross
  from months
  left join revenue using (month, currency)
  left join invoiced using (month, currency)
  left join top_ups using (month, currency)
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
    unnest([
      {'walk': 'recognised_to_invoiced', 'step': 'recognised', 'kind': 'figure', 'amount': recognised},
      {'walk': 'recognised_to_invoiced', 'step': 'deferred_closing', 'kind': 'change', 'amount': deferred_closing},
      {'walk': 'recognised_to_invoiced', 'step': 'deferred_opening', 'kind': 'change', 'amount': -deferred_opening},
      {'walk': 'recognised_to_invoiced', 'step': 'credited', 'kind': 'change', 'amount': credited},
      {'walk': 'recognised_to_invoiced', 'step': 'wallet_top_ups', 'kind': 'change', 'amount': top_ups},
      {'walk': 'recognised_to_invoiced', 'step': 'unexplained_b', 'kind': 'unexplained',
        'amount': net - (recognised + deferred_closing - deferred_opening + credited + top_ups)},
      {'walk': 'recognised_to_invoiced', 'step': 'net_invoiced', 'kind': 'figure', 'amount': net},
      {'walk': 'invoiced_to_gross', 'step': 'tax', 'kind': 'change', 'amount': tax},
      {'walk': 'invoiced_to_gross', 'step': 'gross_invoiced', 'kind': 'figure', 'amount': gross}
    ]) as step,
    generate_subscripts(range(9), 1) as step_no
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
    when 50 * abs(step.amount) > gross then 'mark'
    when 200 * abs(step.amount) > gross then 'warn'
    else 'fine'
  end::varchar as status
from walks
