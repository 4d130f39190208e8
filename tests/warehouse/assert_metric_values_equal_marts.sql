-- The headline is what the marts say: MRR and its movements those of the cells, retention that of the windows; GRR is at
-- most the smaller of 1 and NRR, and lost customers have one cause each.
{% set of_months = [
  ('mrr', 'closing_mrr', 'null'), ('arr', '12 * closing_mrr', 'null'), ('list_mrr', 'list_mrr', 'null'),
  ('trial_mrr', 'trial_mrr', 'null'), ('fx_impact', 'fx_impact', 'null'), ('new_mrr', 'new_mrr', 'null'),
  ('expansion_mrr', 'expansion_mrr', 'null'), ('contraction_mrr', 'contraction_mrr', 'null'),
  ('churn_mrr', 'churn_mrr', 'null'), ('reactivation_mrr', 'reactivation_mrr', 'null'),
  ('mrr_growth', 'closing_mrr - opening_mrr', 'opening_mrr'), ('arpa', 'closing_mrr', 'closing_customers'),
  ('asp_new', 'new_mrr', 'new_customers'),
  ('quick_ratio', 'new_mrr + expansion_mrr + counted_returns', '-contraction_mrr - churn_mrr'),
] -%}
{% set of_windows = [
  ('nrr_1m', 1, 'end_mrr', 'start_mrr'), ('nrr_12m', 12, 'end_mrr', 'start_mrr'),
  ('grr_1m', 1, 'capped_mrr', 'start_mrr'), ('grr_12m', 12, 'capped_mrr', 'start_mrr'),
  ('logo_churn_voluntary', 1, 'lost_voluntary', 'start_customers'),
  ('logo_churn_involuntary', 1, 'lost_involuntary', 'start_customers'),
  ('logo_churn_other', 1, 'lost_customers - lost_voluntary - lost_involuntary', 'start_customers'),
] -%}
with policy as (
  select * from {{ ref('stg_meta__policy') }}
),
months as (
  select
    month, amount_currency as currency,
    {% for part in ['opening', 'new', 'expansion', 'contraction', 'churn', 'reactivation', 'closing', 'list', 'trial'] -%}
    sum({{ part }}_mrr) as {{ part }}_mrr,
    {% endfor -%}
    sum(fx_impact) as fx_impact,
    sum(new_customers) as new_customers,
    sum(closing_customers) as closing_customers,
    case (select quick_ratio_gain from policy) when 'with_reactivation' then sum(reactivation_mrr) else 0 end as counted_returns
  from {{ ref('fct_mrr_months') }}
  group by month, amount_currency
),
windows as (
  select
    month, currency, window_months,
    {% for part in ['start_mrr', 'end_mrr', 'start_customers', 'lost_customers', 'lost_voluntary', 'lost_involuntary'] -%}
    sum({{ part }}) as {{ part }},
    {% endfor -%}
    case (select grr_cap from policy)
      when 'total' then least(sum(start_mrr), sum(end_mrr))
      else sum(kept_mrr)
    end as capped_mrr
  from {{ ref('fct_retention') }}
  group by month, currency, window_months
),
expected as (
  {% for metric_id, numerator, denominator in of_months -%}
  select month, currency, '{{ metric_id }}' as metric_id, ({{ numerator }})::decimal(38, 16) as numerator,
    ({{ denominator }})::decimal(38, 16) as denominator
  from months
  union all
  {% endfor -%}
  {% for metric_id, window, numerator, denominator in of_windows -%}
  select month, currency, '{{ metric_id }}' as metric_id, ({{ numerator }})::decimal(38, 16) as numerator,
    ({{ denominator }})::decimal(38, 16) as denominator
  from windows
  where window_months = {{ window }}
  {% if not loop.last %}union all{% endif %}
  {% endfor %}
),
found as (
  select month, currency, metric_id, numerator, denominator
  from {{ ref('fct_metric_values') }}
  where segment = 'all'
)
select month, currency, metric_id, expected.numerator as expected, found.numerator as found
from expected
left join found using (month, currency, metric_id)
where expected.numerator is distinct from found.numerator
  or expected.denominator is distinct from found.denominator
union all
select grr.month, grr.currency, grr.metric_id, grr.numerator, nrr.numerator
from {{ ref('fct_metric_values') }} as grr
join {{ ref('fct_metric_values') }} as nrr
  on nrr.month = grr.month
  and nrr.currency = grr.currency
  and nrr.segment = grr.segment
  and nrr.metric_id = replace(grr.metric_id, 'grr', 'nrr')
where grr.metric_id in ('grr_1m', 'grr_12m')
  and (grr.numerator < 0 or grr.numerator > grr.denominator or grr.numerator > nrr.numerator)
union all
select month, currency, 'logo_churn', sum(numerator) filter (metric_id = 'logo_churn'), sum(numerator) filter (metric_id <> 'logo_churn')
from found
where metric_id in ('logo_churn', 'logo_churn_voluntary', 'logo_churn_involuntary', 'logo_churn_other')
  and (select logo_denominator from policy) = 'start_only_matched'
group by month, currency
having sum(numerator) filter (metric_id = 'logo_churn') <> sum(numerator) filter (metric_id <> 'logo_churn')
