-- The parts of the metrics of metered use, by month, currency and segment: the mean of the last three months that have
-- closed by the day of the figure, at the closing rate. Before three months of rated use have closed there is none.
with months as (
  select
    months.month,
    {{ add_months("date_trunc('month', least(months.snapshot_on, build.as_of) + 1)::date", -1) }} as last_closed_month
  from {{ ref('int_months') }} as months
  cross join {{ ref('stg_meta__build') }} as build
),
use_by_month as (
  select * from {{ ref('int_usage_months') }}
),
cells as (
  select currency, segment, min(month) as since_month, min(first_month) as first_month
  from use_by_month
  group by currency, segment
),
cell_months as (
  select months.month, months.last_closed_month, cells.*
  from months
  join cells on cells.since_month <= months.month
),
native as (
  select
    cell_months.month,
    cell_months.currency,
    cell_months.segment,
    cell_months.first_month > {{ add_months('cell_months.last_closed_month', -2) }} as is_too_short,
    use_by_month.customer_id,
    coalesce(use_by_month.rated_minor, 0)::decimal(19, 0) as rated_minor
  from cell_months
  left join use_by_month
    on use_by_month.currency = cell_months.currency
    and use_by_month.segment = cell_months.segment
    and use_by_month.month > {{ add_months('cell_months.last_closed_month', -3) }}
    and use_by_month.month <= cell_months.last_closed_month
),
totals as (
  select
    native.month,
    coalesce(rates.amount_currency, native.currency) as currency,
    coalesce(native.segment, 'all') as segment,
    sum((native.rated_minor * coalesce(rates.closing_rate, 1))::decimal(38, 16)) as rated,
    count(distinct native.customer_id) as customers,
    bool_or(native.is_too_short) as is_too_short
  from native
  left join {{ ref('int_month_rates') }} as rates
    on rates.month = native.month
    and rates.currency = native.currency
  group by grouping sets (
    (native.month, coalesce(rates.amount_currency, native.currency)),
    (native.month, coalesce(rates.amount_currency, native.currency), native.segment)
  )
),
metrics as (
  select
    month,
    currency,
    segment,
    {{ metric_value('usage_mrr', 'case when not is_too_short then rated end', '3', 'customers',
      reason="case when is_too_short then 'fewer_than_three_months' end") }} as metric
  from totals
)
select
  month,
  currency,
  segment,
  metric.metric_id as metric_id,
  metric.numerator as numerator,
  metric.denominator as denominator,
  metric.customers::decimal(38, 16) as customers,
  metric.why_null as why_null
from metrics
