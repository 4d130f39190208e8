-- One row per month, currency, segment ('all' too) and rate of money: the figure, the middle 95 % of its 1,000 draws, and
-- that of its difference to the month before and to the year before within the same draws.
{% set windows = [1, 12] -%}
{% set retained = ['start_1', 'end_1', 'kept_1', 'start_12', 'end_12', 'kept_12'] -%}
{% set happened = ['renewed', 'decided', 'recovered', 'failed'] -%}
{% set rates = ['nrr_1m', 'grr_1m', 'nrr_12m', 'grr_12m', 'renewal_rate', 'dunning_recovery'] -%}
with policy as (
  select grr_cap from {{ ref('stg_meta__policy') }}
),
units as (
  select customer_id, unit_no from {{ ref('int_bootstrap_units') }}
),
-- windows as in fct_retention: where a customer's spells overlap the same spells moved, start and end are constant
spells as (
  select
    changes.customer_id, units.unit_no, changes.currency, changes.segment, changes.closing_mrr as mrr,
    changes.month as from_month, changes.until_month
  from {{ ref('fct_customer_month_changes') }} as changes
  join units using (customer_id)
),
pairings as (
  {% for window in windows -%}
  select
    starts.currency, starts.segment, starts.unit_no,
    unnest([
      greatest(ends.from_month, {{ add_months('starts.from_month', window) }}),
      least(ends.until_month, {{ add_months('starts.until_month', window) }})
    ]) as month,
    {% for other in windows -%}
    {% if other == window -%}
    unnest([starts.mrr, -starts.mrr]) as start_{{ other }},
    unnest([ends.mrr, -ends.mrr]) as end_{{ other }},
    unnest([least(starts.mrr, ends.mrr), -least(starts.mrr, ends.mrr)]) as kept_{{ other }}{{ ',' if not loop.last }}
    {% else -%}
    0 as start_{{ other }}, 0 as end_{{ other }}, 0 as kept_{{ other }}{{ ',' if not loop.last }}
    {% endif -%}
    {% endfor -%}
  from spells as starts
  join spells as ends
    on ends.customer_id = starts.customer_id
    and ends.currency = starts.currency
    and ends.until_month > {{ add_months('starts.from_month', window) }}
    and ends.from_month < {{ add_months('starts.until_month', window) }}
  where starts.mrr > 0
  {{ 'union all' if not loop.last }}
  {% endfor -%}
),
retention as (
  select
    currency, segment, unit_no, month,
    {% for part in retained -%}
    sum({{ part }}) as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from pairings
  group by currency, segment, unit_no, month
),
events as (
  select
    renewals.amount_currency as currency, renewals.segment, units.unit_no, renewals.month,
    case when renewals.outcome = 'renewed' then renewals.mrr_before_constant else 0 end as renewed,
    renewals.mrr_before_constant as decided,
    0 as recovered,
    0 as failed
  from {{ ref('fct_renewals') }} as renewals
  join units using (customer_id)
  where renewals.is_due and renewals.outcome <> 'undecided'
  union all
  select
    coalesce(month_rates.amount_currency, dunning.currency) as currency, dunning.segment, units.unit_no,
    dunning.cohort_month as month,
    0 as renewed,
    0 as decided,
    dunning.recovered_minor * coalesce(month_rates.opening_rate, 1) as recovered,
    dunning.failed_minor * coalesce(month_rates.opening_rate, 1) as failed
  from {{ ref('fct_dunning') }} as dunning
  join units using (customer_id)
  left join {{ ref('int_month_rates') }} as month_rates
    on month_rates.month = dunning.cohort_month
    and month_rates.currency = dunning.currency
  where dunning.outcome <> 'pending'
),
event_months as (
  select
    currency, segment, unit_no, month,
    {% for part in happened -%}
    sum({{ part }}) as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from events
  group by currency, segment, unit_no, month
),
members as (
  select currency, segment, unit_no from retention
  union
  select currency, segment, unit_no from event_months
),
-- what each member adds to each month
amounts as (
  select
    members.currency, members.segment, members.unit_no, months.month,
    {% for part in retained -%}
    coalesce(sum(retention.{{ part }}) over by_month, 0)::double as {{ part }},
    {% endfor -%}
    {% for part in happened -%}
    coalesce(event_months.{{ part }}, 0)::double as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from members
  cross join {{ ref('int_months') }} as months
  left join retention
    on retention.month = months.month
    and retention.currency = members.currency
    and retention.segment = members.segment
    and retention.unit_no = members.unit_no
  left join event_months
    on event_months.month = months.month
    and event_months.currency = members.currency
    and event_months.segment = members.segment
    and event_months.unit_no = members.unit_no
  window by_month as (partition by members.currency, members.segment, members.unit_no order by months.month)
),
vectors as (
  select
    currency, segment, month,
    {% for part in retained + happened -%}
    list({{ part }} order by unit_no) as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from amounts
  group by currency, segment, month
),
weights as (
  select groups.currency, groups.segment, draws.draw_no, list_select(draws.weights, groups.unit_nos) as weights
  from (
    select currency, segment, list(unit_no order by unit_no) as unit_nos from members group by currency, segment
  ) as groups
  cross join {{ ref('int_bootstrap_weights') }} as draws
),
-- sums of rounded amounts, so that their order doesn't matter
drawn_segments as (
  select
    vectors.currency, vectors.segment, vectors.month, weights.draw_no,
    {% for part in retained + happened -%}
    list_inner_product(vectors.{{ part }}, weights.weights)::decimal(38, 6) as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from vectors
  join weights using (currency, segment)
),
drawn as (
  select
    currency, coalesce(segment, 'all') as segment, month, draw_no,
    {% for part in retained + happened -%}
    sum({{ part }})::double as {{ part }}{{ ',' if not loop.last }}
    {% endfor %}
  from drawn_segments
  group by grouping sets ((currency, month, draw_no), (currency, segment, month, draw_no))
),
figures as (
  select
    drawn.currency, drawn.segment, drawn.month, drawn.draw_no,
    {% for window in windows -%}
    end_{{ window }} / nullif(start_{{ window }}, 0) as nrr_{{ window }}m,
    case policy.grr_cap when 'total' then least(start_{{ window }}, end_{{ window }}) else kept_{{ window }} end
      / nullif(start_{{ window }}, 0) as grr_{{ window }}m,
    {% endfor -%}
    renewed / nullif(decided, 0) as renewal_rate,
    recovered / nullif(failed, 0) as dunning_recovery
  from drawn
  cross join policy
),
intervals as (
  select
    figures.month, figures.currency, figures.segment,
    {% for rate in rates -%}
    max(figures.{{ rate }}) filter (where figures.draw_no = 0) as {{ rate }}_value,
    {{ middle_of_draws('figures.' ~ rate, 'figures.draw_no') }} as {{ rate }},
    {{ middle_of_draws('figures.' ~ rate ~ ' - month_before.' ~ rate, 'figures.draw_no') }} as {{ rate }}_to_month_before,
    {{ middle_of_draws('figures.' ~ rate ~ ' - year_before.' ~ rate, 'figures.draw_no') }} as {{ rate }}_to_year_before
    {{- ',' if not loop.last }}
    {% endfor %}
  from figures
  left join figures as month_before
    on month_before.currency = figures.currency
    and month_before.segment = figures.segment
    and month_before.month = {{ add_months('figures.month', -1) }}
    and month_before.draw_no = figures.draw_no
  left join figures as year_before
    on year_before.currency = figures.currency
    and year_before.segment = figures.segment
    and year_before.month = {{ add_months('figures.month', -12) }}
    and year_before.draw_no = figures.draw_no
  group by figures.month, figures.currency, figures.segment
),
metrics as (
  select
    month, currency, segment,
    unnest([
      {% for rate in rates -%}
      {
        'metric_id': '{{ rate }}',
        'value': {{ rate }}_value,
        'interval': {{ rate }},
        'to_month_before': {{ rate }}_to_month_before,
        'to_year_before': {{ rate }}_to_year_before
      },
      {% endfor -%}
      -- what is not kept
      {% for metric_id, rate in [('gross_mrr_churn', 'grr_1m'), ('net_mrr_churn', 'nrr_1m')] -%}
      {
        'metric_id': '{{ metric_id }}',
        'value': 1 - {{ rate }}_value,
        'interval': [1 - {{ rate }}[2], 1 - {{ rate }}[1]],
        'to_month_before': [-{{ rate }}_to_month_before[2], -{{ rate }}_to_month_before[1]],
        'to_year_before': [-{{ rate }}_to_year_before[2], -{{ rate }}_to_year_before[1]]
      }{{ ',' if not loop.last }}
      {% endfor %}
    ]) as metric
  from intervals
)
select
  month,
  currency,
  segment,
  metric.metric_id as metric_id,
  metric.value as value,
  metric.interval[1] as low,
  metric.interval[2] as high,
  metric.to_month_before[1] as month_before_low,
  metric.to_month_before[2] as month_before_high,
  metric.to_year_before[1] as year_before_low,
  metric.to_year_before[2] as year_before_high
from metrics
where metric.value is not null
