-- No customer x month table: a customer's spells are laid beside the same spells moved by the window. On each overlap
-- start and end are constant, so they are added at its first month and taken off after its last; a running sum gives
-- every month.
with windows as (
  select unnest([1, 12]) as window_months
),
-- at the booked rates (policy fx_retention) every month is a spell, since each has a rate of its own
booked_rates as (
  select rates.month, rates.currency, rates.amount_currency, rates.closing_rate
  from {{ ref('int_month_rates') }} as rates
  join {{ ref('stg_meta__policy') }} as policy on policy.fx_retention = 'booked'
),
booked_balances as (
  select
    balances.customer_id,
    rates.amount_currency as currency,
    rates.month,
    sum(balances.mrr_native * rates.closing_rate) as mrr
  from {{ ref('fct_mrr_spells') }} as balances
  join booked_rates as rates
    on rates.currency = balances.currency
    and rates.month >= {{ snapshot_month('balances.valid_from') }}
    and rates.month < coalesce({{ snapshot_month('balances.valid_to') }}, date '9999-12-01')
  group by balances.customer_id, rates.amount_currency, rates.month
),
booked_spells as (
  select
    changes.customer_id,
    changes.currency,
    months.month as from_month,
    {{ add_months('months.month', 1) }} as until_month,
    coalesce(booked_balances.mrr, 0)::decimal(38, 16) as mrr,
    changes.closing_held,
    changes.segment,
    changes.cause,
    date_trunc('month', changes.paying_since_on)::date as paying_since_month
  from {{ ref('fct_customer_month_changes') }} as changes
  join (select distinct month from booked_rates) as months
    on months.month >= changes.month
    and months.month < changes.until_month
  left join booked_balances
    on booked_balances.customer_id = changes.customer_id
    and booked_balances.currency = changes.currency
    and booked_balances.month = months.month
),
spells as (
  select
    changes.customer_id, changes.currency, changes.month as from_month, changes.until_month,
    changes.closing_mrr as mrr, changes.closing_held, changes.segment, changes.cause,
    date_trunc('month', changes.paying_since_on)::date as paying_since_month
  from {{ ref('fct_customer_month_changes') }} as changes
  join {{ ref('stg_meta__policy') }} as policy on policy.fx_retention = 'constant'
  union all by name
  select * from booked_spells
),
pairings as (
  select
    windows.window_months,
    starts.currency,
    starts.segment,
    starts.mrr as start_mrr,
    ends.mrr as end_mrr,
    ends.mrr = 0 and not ends.closing_held as is_lost,
    ends.cause,
    greatest(ends.from_month, {{ add_months('starts.from_month', 'windows.window_months') }}) as from_month,
    least(ends.until_month, {{ add_months('starts.until_month', 'windows.window_months') }}) as until_month,
    -- before this month the window opens before the last return
    {{ add_months('ends.paying_since_month', 'windows.window_months') }} as returner_until
  from spells as starts
  cross join windows
  join spells as ends
    on ends.customer_id = starts.customer_id
    and ends.currency = starts.currency
    and ends.until_month > {{ add_months('starts.from_month', 'windows.window_months') }}
    and ends.from_month < {{ add_months('starts.until_month', 'windows.window_months') }}
  where starts.mrr > 0 or starts.closing_held
),
edges as (
  select
    window_months, currency, segment,
    unnest([from_month, until_month]) as month,
    unnest([1, -1]) as sign,
    start_mrr, end_mrr, is_lost, cause
  from pairings
),
changes as (
  select
    window_months, currency, segment, month,
    sum(sign * start_mrr) as start_mrr,
    sum(sign * end_mrr) as end_mrr,
    sum(sign * least(start_mrr, end_mrr)) as kept_mrr,
    0 as returner_mrr,
    sum(sign) as start_customers,
    sum(case when is_lost then sign else 0 end) as lost_customers,
    sum(case when is_lost and cause = 'voluntary' then sign else 0 end) as lost_voluntary,
    sum(case when is_lost and cause = 'involuntary' then sign else 0 end) as lost_involuntary
  from edges
  group by window_months, currency, segment, month
  union all
  select
    window_months, currency, segment,
    unnest([from_month, least(until_month, returner_until)]) as month,
    0 as start_mrr, 0 as end_mrr, 0 as kept_mrr,
    unnest([end_mrr, -end_mrr]) as returner_mrr,
    0 as start_customers, 0 as lost_customers, 0 as lost_voluntary, 0 as lost_involuntary
  from pairings
  where end_mrr > 0 and from_month < returner_until
),
cells as (
  select window_months, currency, segment, min(month) as first_month from changes
  group by window_months, currency, segment
),
running as (
  select
    months.month,
    months.is_provisional,
    cells.window_months,
    cells.currency,
    cells.segment,
    {% for part in ['start_mrr', 'end_mrr', 'kept_mrr', 'returner_mrr'] -%}
    coalesce(sum(sum(changes.{{ part }})) over by_month, 0)::decimal(38, 16) as {{ part }},
    {% endfor -%}
    {% for part in ['start_customers', 'lost_customers', 'lost_voluntary', 'lost_involuntary'] -%}
    coalesce(sum(sum(changes.{{ part }})) over by_month, 0)::bigint as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from cells
  join {{ ref('int_months') }} as months on months.month >= cells.first_month
  left join changes
    on changes.month = months.month
    and changes.window_months = cells.window_months
    and changes.currency = cells.currency
    and changes.segment = cells.segment
  group by months.month, months.is_provisional, cells.window_months, cells.currency, cells.segment
  window by_month as (partition by cells.window_months, cells.currency, cells.segment order by months.month)
)
select
  month,
  window_months,
  currency,
  segment,
  start_mrr,
  end_mrr,
  kept_mrr,
  returner_mrr,
  start_customers,
  lost_customers,
  lost_voluntary,
  lost_involuntary,
  (lost_customers - lost_voluntary - lost_involuntary)::bigint as lost_other,
  is_provisional
from running
where start_customers > 0
