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
figures as (
  select
    month, currency, segment, 'renewals_due' as metric_id,
    due_mrr::decimal(38, 16) as numerator,
    null::decimal(38, 16) as denominator,
    customers,
    null::varchar as why_null
  from renewals
  union all
  select
    month, currency, segment, 'renewals_due_count' as metric_id,
    due::decimal(38, 16) as numerator,
    null::decimal(38, 16) as denominator,
    customers,
    null::varchar as why_null
  from renewals
  union all
  select
    month, currency, segment, 'renewals_undecided' as metric_id,
    (due - decided)::decimal(38, 16) as numerator,
    null::decimal(38, 16) as denominator,
    customers,
    null::varchar as why_null
  from renewals
  union all
  select
    month, currency, segment, 'renewal_rate' as metric_id,
    coalesce(renewed_mrr, 0)::decimal(38, 16) as numerator,
    coalesce(decided_mrr, 0)::decimal(38, 16) as denominator,
    decided_customers as customers,
    'no_renewals_decided'::varchar as why_null
  from renewals
  union all
  select
    month, currency, segment, 'renewal_rate_count' as metric_id,
    renewed::decimal(38, 16) as numerator,
    decided::decimal(38, 16) as denominator,
    decided_customers as customers,
    'no_renewals_decided'::varchar as why_null
  from renewals
  union all
  select
    month, currency, segment, 'trials_started' as metric_id,
    started::decimal(38, 16) as numerator,
    null::decimal(38, 16) as denominator,
    customers,
    null::varchar as why_null
  from trials
  union all
  select
    month, currency, segment, 'trials_pending' as metric_id,
    pending::decimal(38, 16) as numerator,
    null::decimal(38, 16) as denominator,
    customers,
    null::varchar as why_null
  from trials
  union all
  select
    month, currency, segment, 'trial_conversion' as metric_id,
    converted::decimal(38, 16) as numerator,
    matured::decimal(38, 16) as denominator,
    matured_customers as customers,
    'no_trials_matured'::varchar as why_null
  from trials
  union all
  select
    month, currency, segment, 'subscription_churn' as metric_id,
    lost::decimal(38, 16) as numerator,
    started::decimal(38, 16) as denominator,
    started as customers,
    null::varchar as why_null
  from subscriptions where started > 0
  union all
  select
    month, currency, segment, 'ltv_survival_36' as metric_id,
    (margin_mrr * survival_months)::decimal(38, 16) as numerator,
    closing_customers::decimal(38, 16) as denominator,
    closing_customers as customers,
    why_null::varchar as why_null
  from {{ ref('fct_survival_ltv') }} where horizon_months = 36
  union all
  select
    month, currency, segment, 'ltv_survival_60' as metric_id,
    (margin_mrr * survival_months)::decimal(38, 16) as numerator,
    closing_customers::decimal(38, 16) as denominator,
    closing_customers as customers,
    why_null::varchar as why_null
  from {{ ref('fct_survival_ltv') }} where horizon_months = 60
)
select
  month,
  currency,
  segment,
  metric_id,
  numerator,
  denominator,
  customers::decimal(38, 16) as customers,
  case when numerator is null or denominator = 0 then why_null end as why_null
from figures
