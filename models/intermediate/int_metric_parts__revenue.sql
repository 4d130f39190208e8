-- The parts of the metrics of recognised and deferred revenue, by month, currency and segment. What is recognised stands
-- at the rate of the month's opening, as movements do; what is deferred at that of its close.
with build as (
  select as_of_month from {{ ref('stg_meta__build') }}
),
-- an amount in a currency without a rate keeps its own
customer_changes as (
  select
    revenue.month,
    revenue.currency,
    coalesce(rates.amount_currency, revenue.currency) as amount_currency,
    revenue.segment,
    revenue.customer_id,
    sum(revenue.recognised_minor) as recognised_minor,
    sum(revenue.deferred_closing_minor - revenue.deferred_opening_minor) as deferred_change
  from {{ ref('fct_revenue_months') }} as revenue
  left join {{ ref('int_rates') }} as rates using (currency)
  group by all
),
customer_balances as (
  select
    *,
    sum(deferred_change) over (partition by customer_id, currency order by month) as deferred_minor
  from customer_changes
),
-- in how many currencies a customer's balance is not 0
customer_holdings as (
  select
    month,
    amount_currency,
    segment,
    customer_id,
    sum((deferred_minor <> 0)::integer - (deferred_minor - deferred_change <> 0)::integer) as held_change,
    bool_or(recognised_minor <> 0) as is_recognised
  from customer_balances
  group by month, amount_currency, segment, customer_id
),
customers_held as (
  select
    *,
    sum(held_change) over (partition by customer_id, amount_currency order by month) as held
  from customer_holdings
),
customer_counts as (
  select
    month,
    amount_currency,
    segment,
    count(*) filter (where is_recognised) as recognised_customers,
    sum((held > 0)::integer - (held - held_change > 0)::integer) as deferred_customers_change
  from customers_held
  group by month, amount_currency, segment
),
cell_changes as (
  select
    month,
    currency,
    amount_currency,
    segment,
    sum(recognised_minor) as recognised_minor,
    sum(deferred_change) as deferred_change
  from customer_changes
  group by month, currency, amount_currency, segment
),
cells as (
  select currency, amount_currency, segment, min(month) as first_month
  from cell_changes
  group by currency, amount_currency, segment
),
cell_months as (
  select
    cells.currency,
    cells.amount_currency,
    cells.segment,
    unnest(generate_series(cells.first_month, build.as_of_month, interval 1 month))::date as month
  from cells
  cross join build
),
amounts as (
  select
    cell_months.*,
    coalesce(changes.recognised_minor, 0) as recognised_minor,
    coalesce(sum(changes.deferred_change) over by_month, 0) as deferred_minor
  from cell_months
  left join cell_changes as changes using (month, currency, amount_currency, segment)
  window by_month as (
    partition by cell_months.currency, cell_months.segment order by cell_months.month
  )
),
converted as (
  select
    amounts.month,
    amounts.amount_currency,
    amounts.segment,
    sum((amounts.recognised_minor::decimal(19, 0) * coalesce(months.opening_rate, rates.constant_rate, 1)
    )::decimal(38, 16)) as recognised,
    sum((amounts.deferred_minor::decimal(19, 0) * coalesce(months.closing_rate, rates.constant_rate, 1)
    )::decimal(38, 16)) as deferred
  from amounts
  left join {{ ref('int_rates') }} as rates using (currency)
  left join {{ ref('int_month_rates') }} as months
    on months.month = amounts.month
    and months.currency = amounts.currency
  group by amounts.month, amounts.amount_currency, amounts.segment
),
counted as (
  select
    converted.*,
    coalesce(counts.recognised_customers, 0) as recognised_customers,
    coalesce(sum(counts.deferred_customers_change) over by_month, 0) as deferred_customers
  from converted
  left join customer_counts as counts using (month, amount_currency, segment)
  window by_month as (
    partition by converted.amount_currency, converted.segment order by converted.month
  )
),
totals as (
  select
    month,
    amount_currency as currency,
    coalesce(segment, 'all') as segment,
    sum(recognised) as recognised,
    sum(deferred) as deferred,
    sum(recognised_customers) as recognised_customers,
    sum(deferred_customers) as deferred_customers
  from counted
  group by grouping sets ((month, amount_currency), (month, amount_currency, segment))
),
metrics as (
  select
    month,
    currency,
    segment,
    unnest([
      {{ metric_value('recognised', 'recognised', none, 'recognised_customers') }},
      {{ metric_value('deferred', 'deferred', none, 'deferred_customers') }}
    ]) as metric
  from totals
)
select
  month,
  currency,
  segment,
  metric.metric_id::varchar as metric_id,
  metric.numerator as numerator,
  metric.denominator as denominator,
  metric.customers::decimal(38, 16) as customers,
  metric.why_null as why_null
from metrics
