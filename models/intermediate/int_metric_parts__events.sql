-- The parts of the metrics of renewals, trials and ends, by month, currency and segment. Amounts at the constant rate.
with renewals as (
  select
    month,
    amount_currency as currency,
    coalesce(segment, 'all') as segment,
    sum(mrr_before_constant) as due_mrr,
    sum(mrr_before_constant) filter (outcome = 'renewed') as renewed_mrr,
    sum(mrr_before_constant) filter (outcome <> 'undecided') as decided_mrr,
    count(*) as due,
    count(*) filter (outcome = 'renewed') as renewed,
    count(*) filter (outcome <> 'undecided') as decided,
    count(distinct customer_id) as customers,
    count(distinct customer_id) filter (outcome <> 'undecided') as decided_customers
  from {{ ref('fct_renewals') }}
  where is_due
  group by grouping sets ((month, amount_currency), (month, amount_currency, segment))
),
trials as (
  select
    cohort_month as month,
    amount_currency as currency,
    coalesce(segment, 'all') as segment,
    count(*) as started,
    count(*) filter (outcome = 'pending') as pending,
    count(*) filter (outcome = 'converted') as converted,
    count(*) filter (outcome <> 'pending') as matured,
    count(distinct customer_id) as customers,
    count(distinct customer_id) filter (outcome <> 'pending') as matured_customers
  from {{ ref('fct_trials') }}
  group by grouping sets ((cohort_month, amount_currency), (cohort_month, amount_currency, segment))
),
-- what each subscription pays at the close of the months in which that changes; its segment is where most of it stands
subscription_cells as (
  select
    subscription_id,
    amount_currency as currency,
    month,
    segment,
    sum(delta_constant) as change,
    sum(sum(delta_constant)) over (
      partition by subscription_id, amount_currency, segment order by month
    ) as balance
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr' and not is_scheduled and subscription_id is not null
  group by subscription_id, amount_currency, month, segment
),
subscription_changes as (
  select
    subscription_id,
    currency,
    month,
    max({'balance': balance, 'segment': segment}).segment as segment,
    sum(sum(change)) over by_month as closing
  from subscription_cells
  group by subscription_id, currency, month
  window by_month as (partition by subscription_id, currency order by month)
),
subscription_spells as (
  select
    currency,
    segment,
    month as from_month,
    lead(month) over by_month as until_month,
    lead(closing) over by_month as next_closing,
    closing
  from subscription_changes
  window by_month as (partition by subscription_id, currency order by month)
),
-- who pays at a close is in the start set of every month up to the next change
subscription_edges as (
  select currency, segment, {{ add_months('from_month', 1) }} as month, 1 as start_change, 0 as lost
  from subscription_spells
  where closing > 0
  union all
  select currency, segment, {{ add_months('until_month', 1) }} as month, -1 as start_change, 0 as lost
  from subscription_spells
  where closing > 0 and until_month is not null
  union all
  select currency, segment, until_month as month, 0 as start_change, 1 as lost
  from subscription_spells
  where closing > 0 and next_closing = 0
),
subscription_parts as (
  select
    month,
    currency,
    coalesce(segment, 'all') as segment,
    sum(start_change) as start_change,
    sum(lost) as lost
  from subscription_edges
  group by grouping sets ((month, currency), (month, currency, segment))
),
subscription_groups as (
  select currency, segment, min(month) as first_month from subscription_parts group by currency, segment
),
subscriptions as (
  select
    months.month,
    groups.currency,
    groups.segment,
    sum(coalesce(parts.start_change, 0)) over by_month as started,
    coalesce(parts.lost, 0) as lost
  from subscription_groups as groups
  join {{ ref('int_months') }} as months on months.month >= groups.first_month
  left join subscription_parts as parts
    on parts.month = months.month
    and parts.currency = groups.currency
    and parts.segment = groups.segment
  window by_month as (partition by groups.currency, groups.segment order by months.month)
),
metrics as (
  select
    month,
    currency,
    segment,
    unnest([
      {{ metric_value('renewals_due', 'due_mrr', none, 'customers') }},
      {{ metric_value('renewals_due_count', 'due', none, 'customers') }},
      {{ metric_value('renewals_undecided', 'due - decided', none, 'customers') }},
      {{ metric_value('renewal_rate', 'coalesce(renewed_mrr, 0)', 'coalesce(decided_mrr, 0)', 'decided_customers', 'no_renewals_decided') }},
      {{ metric_value('renewal_rate_count', 'renewed', 'decided', 'decided_customers', 'no_renewals_decided') }}
    ]) as metric
  from renewals
  union all
  select
    month,
    currency,
    segment,
    unnest([
      {{ metric_value('trials_started', 'started', none, 'customers') }},
      {{ metric_value('trials_pending', 'pending', none, 'customers') }},
      {{ metric_value('trial_conversion', 'converted', 'matured', 'matured_customers', 'no_trials_matured') }}
    ]) as metric
  from trials
  union all
  select
    month,
    currency,
    segment,
    unnest([
      {{ metric_value('subscription_churn', 'lost', 'started', 'started') }}
    ]) as metric
  from subscriptions
  where started > 0
  union all
  {% for months in [24, 36, 60] -%}
  select
    month,
    currency,
    segment,
    {{ metric_value('ltv_survival_' ~ months, 'margin_mrr * survival_months', 'closing_customers', 'closing_customers',
      reason='why_null') }} as metric
  from {{ ref('fct_survival_ltv') }}
  where horizon_months = {{ months }}
  {% if not loop.last %}union all{% endif %}
  {% endfor -%}
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
