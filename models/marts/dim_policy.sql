-- The policy in force as rows, with what these models follow. A value they do not follow fails the build.
with policy as (
  select * from {{ ref('stg_meta__policy') }}
),
settings as (
  {% set settings = {
    'mrr_source': ['subscription_versions', 'billed_lines'],
    'week_factor': ['52/12', '4.33', '4'],
    'day_factor': ['365/12', '30', '30.44'],
    'discounts': ['running', 'list', 'forever_only', 'largest_only'],
    'zero_mrr': ['churn', 'keep_active'],
    'trials': ['out', 'in'],
    'usage': ['out', 'in_3m_mean'],
    'unpaid_incomplete': ['out', 'in'],
    'fx_movements': ['opening_rate', 'daily_rate', 'constant'],
    'fx_retention': ['constant', 'booked'],
    'churn_at': ['service_end', 'cancel_request', 'billing_end'],
    'snapshot': ['month_end', 'month_start'],
    'past_due_grace_days': ['30', 'until_canceled', 'restate'],
    'pause': ['pause_to_zero', 'pause_ignored', 'pause_contraction'],
    'reactivation': ['any_return', 'gap_over_30d', 'gap_over_90d'],
    'late_renewal_days': ['30'],
    'second_subscription': ['expansion', 'new_per_item'],
    'month_netting': ['one_category', 'gross_events'],
    'logo_denominator': ['start_only_matched', 'start_only_all_churn', 'start_plus_new'],
    'retention_window_months': ['1,12', 'chained'],
    'grr_cap': ['per_customer', 'total'],
    'quick_ratio_gain': ['with_reactivation', 'without_reactivation'],
    'ltv_churn_months': ['6', '3', '12'],
    'ltv_horizon_months': ['36,60', '24'],
    'cac_lag_quarters': ['1', '0', '2'],
    'dso_method': ['balance_90_days', 'countback'],
    'min_customers': ['30'],
    'reporting_currency': [],
    'reporting_timezone': [],
    'constant_rate_set': []
  } %}
  {% set any_number = ['past_due_grace_days', 'late_renewal_days', 'min_customers'] %}
  {% for setting, values in settings.items() -%}
  select
    '{{ setting }}' as setting,
    "{{ setting }}"::varchar as value,
    {{ "'" ~ values[0] ~ "'" if values else 'null' }} as default_value,
    {% if not values -%}
    true
    {%- elif setting in any_number -%}
    try_cast("{{ setting }}" as integer) is not null or "{{ setting }}"::varchar in ('{{ values | join("', '") }}')
    {%- else -%}
    coalesce("{{ setting }}"::varchar in ('{{ values | join("', '") }}'), false)
    {%- endif %} as is_supported
  from policy
  {{ 'union all' if not loop.last }}
  {% endfor %}
)
select
  settings.setting,
  settings.value,
  settings.default_value,
  settings.value is not distinct from settings.default_value or settings.default_value is null as is_default,
  settings.is_supported,
  policy.definition_version,
  policy.policy_hash
from settings
cross join policy
