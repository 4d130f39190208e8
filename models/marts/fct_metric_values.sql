-- Every metric of subscriptions made from summed parts, by segment and for all of them together.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
policy as (
  select * from {{ ref('stg_meta__policy') }}
),
bridge as (
  select
    month,
    amount_currency as currency,
    coalesce(segment, 'all') as segment,
    {% for part in ['opening', 'new', 'expansion', 'contraction', 'churn', 'reactivation', 'closing', 'list', 'trial'] -%}
    sum({{ part }}_mrr) as {{ part }}_mrr,
    {% endfor -%}
    sum(fx_impact) as fx_impact,
    {% for part in ['opening', 'new', 'reactivated', 'churned', 'closing'] -%}
    sum({{ part }}_customers)::bigint as {{ part }}_customers,
    {% endfor -%}
    bool_or(is_provisional) as is_provisional
  from {{ ref('fct_mrr_months') }}
  group by grouping sets ((month, amount_currency), (month, amount_currency, segment))
),
retention as (
  select
    month,
    currency,
    coalesce(segment, 'all') as segment,
    {% for window in [1, 12] -%}
    {% for part in ['start_mrr', 'end_mrr', 'kept_mrr', 'start_customers', 'lost_voluntary', 'lost_involuntary',
      'lost_other'] -%}
    coalesce(sum({{ part }}) filter (where window_months = {{ window }}), 0) as {{ part }}_{{ window }}{{ ',' if not (loop.last and window == 12) }}
    {% endfor -%}
    {% endfor %}
  from {{ ref('fct_retention') }}
  group by grouping sets ((month, currency), (month, currency, segment))
),
-- known today and effective within a year, at the rate the balance stands at: only the as-of month can tell
scheduled as (
  select
    rates.amount_currency as currency,
    coalesce(movements.segment, 'all') as segment,
    sum(movements.delta_native * rates.closing_rate) as scheduled_mrr
  from {{ ref('fct_mrr_movements') }} as movements
  cross join build
  join {{ ref('int_month_rates') }} as rates
    on rates.currency = movements.currency
    and rates.month = build.as_of_month
  where movements.measure = 'mrr' and movements.is_scheduled and movements.movement_on <= build.as_of + 365
  group by grouping sets ((rates.amount_currency), (rates.amount_currency, movements.segment))
),
keys as (
  select month, currency, segment from bridge
  union
  select month, currency, segment from retention
  union
  select build.as_of_month as month, scheduled.currency, scheduled.segment from scheduled cross join build
),
parts as (
  select
    keys.*,
    months.is_provisional,
    {% for part in ['opening_mrr', 'new_mrr', 'expansion_mrr', 'contraction_mrr', 'churn_mrr', 'reactivation_mrr',
      'closing_mrr', 'list_mrr', 'trial_mrr', 'fx_impact'] -%}
    coalesce(bridge.{{ part }}, 0)::decimal(38, 16) as {{ part }},
    {% endfor -%}
    {% for part in ['opening', 'new', 'reactivated', 'churned', 'closing'] -%}
    coalesce(bridge.{{ part }}_customers, 0)::decimal(38, 16) as {{ part }}_customers,
    {% endfor -%}
    {% for window in [1, 12] -%}
    {% for part in ['start_mrr', 'end_mrr', 'kept_mrr', 'start_customers', 'lost_voluntary', 'lost_involuntary',
      'lost_other'] -%}
    coalesce(retention.{{ part }}_{{ window }}, 0)::decimal(38, 16) as {{ part }}_{{ window }},
    {% endfor -%}
    {% endfor -%}
    case when keys.month = build.as_of_month then coalesce(scheduled.scheduled_mrr, 0) end::decimal(38, 16)
      as scheduled_mrr
  from keys
  join {{ ref('int_report_months') }} as months using (month)
  cross join build
  left join bridge using (month, currency, segment)
  left join retention using (month, currency, segment)
  left join scheduled using (currency, segment)
),
-- twelve windows of a month one after the other (policy retention_window_months); null where one of them has no start
chained as (
  select
    parts.*,
    product(parts.end_mrr_1 / nullif(parts.start_mrr_1, 0)) over year as chained_nrr,
    product(
      case policy.grr_cap when 'total' then least(parts.start_mrr_1, parts.end_mrr_1) else parts.kept_mrr_1 end
      / nullif(parts.start_mrr_1, 0)
    ) over year as chained_grr,
    count(*) filter (where parts.start_mrr_1 > 0) over year = 12 as is_whole_chain,
    policy.retention_window_months = 'chained' as is_chained
  from parts
  cross join policy
  window year as (
    partition by parts.currency, parts.segment order by parts.month
    range between interval 11 months preceding and current row
  )
),
-- the choices of the policy
chosen as (
  select
    parts.* exclude (end_mrr_12),
    case
      when not is_chained then end_mrr_12
      when is_whole_chain then (start_mrr_12 * chained_nrr)::decimal(38, 16)
    end as end_mrr_12,
    case policy.grr_cap when 'total' then least(start_mrr_1, end_mrr_1) else kept_mrr_1 end as grr_kept_1,
    case
      when is_chained then case when is_whole_chain then (start_mrr_12 * chained_grr)::decimal(38, 16) end
      when policy.grr_cap = 'total' then least(start_mrr_12, end_mrr_12)
      else kept_mrr_12
    end as grr_kept_12,
    new_mrr + expansion_mrr
      + case policy.quick_ratio_gain when 'with_reactivation' then reactivation_mrr else 0 end as gains
  from chained as parts
  cross join policy
),
metrics as (
  select
    month,
    currency,
    segment,
    is_provisional,
    unnest([
      {{ metric_value('mrr', 'closing_mrr', none, 'closing_customers') }},
      {{ metric_value('arr', '12 * closing_mrr', none, 'closing_customers') }},
      {{ metric_value('list_mrr', 'list_mrr', none, 'closing_customers') }},
      {{ metric_value('committed_mrr', 'closing_mrr + scheduled_mrr', none, 'closing_customers', 'only_as_of_month') }},
      {{ metric_value('trial_mrr', 'trial_mrr', none, 'closing_customers') }},
      {{ metric_value('new_mrr', 'new_mrr', none, 'new_customers') }},
      {{ metric_value('expansion_mrr', 'expansion_mrr', none, 'opening_customers') }},
      {{ metric_value('contraction_mrr', 'contraction_mrr', none, 'opening_customers') }},
      {{ metric_value('churn_mrr', 'churn_mrr', none, 'churned_customers') }},
      {{ metric_value('reactivation_mrr', 'reactivation_mrr', none, 'reactivated_customers') }},
      {{ metric_value('fx_impact', 'fx_impact', none, 'closing_customers') }},
      {{ metric_value('mrr_growth', 'closing_mrr - opening_mrr', 'opening_mrr', 'opening_customers', 'no_opening_mrr') }},
      {{ metric_value('nrr_1m', 'end_mrr_1', 'start_mrr_1', 'start_customers_1', 'no_opening_mrr') }},
      {{ metric_value('nrr_12m', 'end_mrr_12', 'start_mrr_12', 'start_customers_12', 'no_opening_mrr') }},
      {{ metric_value('grr_1m', 'grr_kept_1', 'start_mrr_1', 'start_customers_1', 'no_opening_mrr') }},
      {{ metric_value('grr_12m', 'grr_kept_12', 'start_mrr_12', 'start_customers_12', 'no_opening_mrr') }},
      {{ metric_value('gross_mrr_churn', 'start_mrr_1 - grr_kept_1', 'start_mrr_1', 'start_customers_1', 'no_opening_mrr') }},
      {{ metric_value('net_mrr_churn', 'start_mrr_1 - end_mrr_1', 'start_mrr_1', 'start_customers_1', 'no_opening_mrr') }},
      {{ metric_value('logo_churn_voluntary', 'lost_voluntary_1', 'start_customers_1', 'start_customers_1', 'no_opening_customers') }},
      {{ metric_value('logo_churn_involuntary', 'lost_involuntary_1', 'start_customers_1', 'start_customers_1', 'no_opening_customers') }},
      {{ metric_value('logo_churn_other', 'lost_other_1', 'start_customers_1', 'start_customers_1', 'no_opening_customers') }},
      {{ metric_value('quick_ratio', 'gains', '-contraction_mrr - churn_mrr', 'opening_customers', 'no_losses') }},
      {{ metric_value('arpa', 'closing_mrr', 'closing_customers', 'closing_customers', 'no_customers') }},
      {{ metric_value('asp_new', 'new_mrr', 'new_customers', 'new_customers', 'no_new_customers') }},
      {{ metric_value('customers', 'closing_customers', none, 'closing_customers') }},
      {{ metric_value('new_customers', 'new_customers', none, 'new_customers') }},
      {{ metric_value('churned_customers', 'churned_customers', none, 'churned_customers') }},
      {{ metric_value('reactivated_customers', 'reactivated_customers', none, 'reactivated_customers') }}
    ]) as metric
  from chosen
),
others as (
  {% for area in ['cash', 'revenue', 'events', 'unit_economics', 'usage'] -%}
  select month, currency, segment, metric_id, numerator, denominator, customers, why_null
  from {{ ref('int_metric_parts__' ~ area) }}
  {% if not loop.last %}union all{% endif %}
  {% endfor -%}
),
all_metrics as (
  select
    month, currency, segment, is_provisional,
    metric.metric_id as metric_id, metric.numerator as numerator, metric.denominator as denominator,
    metric.customers as customers, metric.why_null as why_null
  from metrics
  union all
  select
    others.month, others.currency, others.segment, months.is_provisional,
    others.metric_id, others.numerator, others.denominator, others.customers::bigint as customers, others.why_null
  from others
  join {{ ref('int_report_months') }} as months using (month)
)
select
  month,
  currency,
  segment,
  metric_id,
  numerator,
  denominator,
  case
    when denominator is null then numerator::double
    when denominator <> 0 then numerator / denominator
  end as value,
  case
    when numerator is null or denominator = 0 then why_null
  end as why_null,
  customers,
  is_provisional
from all_metrics
