-- One row per month and currency: what leads from closing MRR to recognised revenue. Rates of a day are summed over the items
-- and run until they change, so that a month costs what changes in it. The as-of month runs to the as-of day.
{% set balances = ['mrr', 'not_billed_mrr', 'not_yet_billed_mrr'] -%}
{% set causes = [
  'billed_without_mrr', 'committed_minimums', 'goods_units', 'goods_prices', 'other_discounts', 'once_discounts', 'billed_again',
  'cut_reversals'
] -%}
{% set rates = ['price'] + causes -%}
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
stretches as (
  select * from {{ ref('int_reconciliation_stretches') }}
  union all by name
  select
    versions.currency,
    versions.valid_from,
    least(coalesce(versions.valid_to, date '9999-12-31'), build.as_of + 1) as valid_to,
    versions.mrr,
    versions.mrr as not_yet_billed_mrr
  from {{ ref('int_item_versions') }} as versions
  anti join {{ ref('int_reconciliation_lines') }} as lines
    on lines.subscription_item_id = versions.subscription_item_id
    and lines.currency = versions.currency
  cross join build
  where versions.mrr > 0
    and versions.valid_from <= build.as_of
),
changes as (
  select
    currency,
    valid_from as day
    {%- for balance in balances %}, {{ balance }}{% endfor %}
    {%- for rate in rates %}, {{ rate }}_rate{% endfor %}
  from stretches
  union all
  select
    currency,
    valid_to as day
    {%- for balance in balances %}, -{{ balance }} as {{ balance }}{% endfor %}
    {%- for rate in rates %}, -{{ rate }}_rate as {{ rate }}_rate{% endfor %}
  from stretches
),
days as (
  select
    currency,
    day
    {%- for balance in balances %}, coalesce(sum({{ balance }}), 0)::decimal(20, 6) as {{ balance }}{% endfor %}
    {%- for rate in rates %}, coalesce(sum({{ rate }}_rate), 0) as {{ rate }}_rate{% endfor %}
  from changes
  group by currency, day
),
levels as (
  select
    currency,
    day as from_day,
    lead(day) over by_day as to_day
    {%- for balance in balances %}, sum({{ balance }}) over by_day as {{ balance }}{% endfor %}
    {%- for rate in rates %}, sum({{ rate }}_rate) over by_day as {{ rate }}_rate{% endfor %}
  from days
  window by_day as (partition by currency order by day)
),
level_months as (
  select
    *,
    unnest(generate_series(date_trunc('month', from_day), date_trunc('month', to_day - 1), interval 1 month))::date as month
  from levels
  where to_day is not null
),
counted as (
  select
    level_months.*,
    {{ add_months('month', 1) }} - month as month_days,
    least(to_day, {{ add_months('month', 1) }}) - greatest(from_day, month) as days,
    from_day <= least({{ snapshot_day('month') }}, build.as_of) and to_day > least({{ snapshot_day('month') }}, build.as_of)
      as is_closing
  from level_months
  cross join build
),
by_month as (
  select
    month,
    currency,
    sum(case when is_closing then (mrr * 1000000)::hugeint * 1000 else 0 end) as closing_e9
    {%- for balance in balances %},
    {{ per_day('sum((' ~ balance ~ ' * 1000000)::hugeint * days * 1000)', 'min(month_days)') }} as {{ balance }}_e9
    {%- endfor %}
    {%- for rate in rates %},
    sum({{ rate }}_rate::hugeint * days) as {{ rate }}_e9
    {%- endfor %}
  from counted
  group by month, currency
),
mrr_steps as (
  select
    *,
    mrr_e9 - closing_e9 as timing_e9,
    price_e9 - (mrr_e9 - not_billed_mrr_e9 - not_yet_billed_mrr_e9) as calendar_e9,
    -not_billed_mrr_e9 as not_billed_e9,
    -not_yet_billed_mrr_e9 as not_yet_billed_e9
  from by_month
),
revenue as (
  select
    revenue.month,
    revenue.currency,
    sum(revenue.recognised_minor) as recognised,
    sum(revenue.recognised_minor) filter (where document_kind <> 'invoice') as credits,
    sum(revenue.recognised_minor) filter (where document_kind = 'invoice' and kind = 'usage') as usage,
    sum(revenue.recognised_minor) filter (where document_kind = 'invoice' and kind not in ('usage', 'recurring', 'proration'))
      as one_off_and_fees,
    -- what recurs without an item, or without days of service
    sum(revenue.recognised_minor) filter (
      where document_kind = 'invoice' and kind in ('recurring', 'proration') and lines.line_id is null
    ) as billed_without_item
  from {{ ref('fct_revenue_months') }} as revenue
  left join {{ ref('int_reconciliation_lines') }} as lines using (line_id)
  group by revenue.month, revenue.currency
),
closing as (
  select month, currency, sum(closing_mrr_native) as closing_mrr
  from {{ ref('fct_mrr_months') }}
  group by month, currency
),
keys as (
  select month, currency from closing
  union
  select month, currency from mrr_steps
  union
  select month, currency from revenue
)
select
  keys.month,
  keys.currency,
  coalesce(closing.closing_mrr, 0)::decimal(38, 6) as closing_mrr,
  {%- for step in ['timing', 'calendar', 'not_billed', 'not_yet_billed'] + causes %}
  {{ from_e9('coalesce(mrr_steps.' ~ step ~ '_e9, 0)') }}
    {%- if step == 'billed_without_mrr' %} + coalesce(revenue.billed_without_item, 0){% endif %} as {{ step }},
  {%- endfor %}
  coalesce(revenue.usage, 0)::decimal(38, 6) as usage,
  coalesce(revenue.one_off_and_fees, 0)::decimal(38, 6) as one_off_and_fees,
  coalesce(revenue.credits, 0)::decimal(38, 6) as credits,
  coalesce(revenue.recognised, 0)::decimal(38, 6) as recognised
from keys
left join closing using (month, currency)
left join mrr_steps using (month, currency)
left join revenue using (month, currency)
