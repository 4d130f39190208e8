-- Nothing is reported for a day the build cannot know.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
)
select 'fct_mrr_months' as mart, month from {{ ref('fct_mrr_months') }}, build where month > as_of_month
union all
select 'fct_customer_month_changes' as mart, month from {{ ref('fct_customer_month_changes') }}, build where month > as_of_month
union all
select 'fct_retention' as mart, month from {{ ref('fct_retention') }}, build where month > as_of_month
union all
select 'fct_metric_values' as mart, month from {{ ref('fct_metric_values') }}, build where month > as_of_month
union all
select 'fct_metric_intervals' as mart, month from {{ ref('fct_metric_intervals') }}, build where month > as_of_month
union all
select 'fct_metric_changes' as mart, month from {{ ref('fct_metric_changes') }}, build where month > as_of_month
union all
select 'fct_cohort_intervals' as mart, cohort_month as month
from {{ ref('fct_cohort_intervals') }}, build
where cohort_month + to_months(age_months) > as_of_month
union all
select 'fct_forecast' as mart, origin_month as month from {{ ref('fct_forecast') }}, build where origin_month > as_of_month
union all
select 'fct_ar_events' as mart, event_on as month from {{ ref('fct_ar_events') }}, build where event_on > as_of
union all
select 'fct_ar_aging' as mart, snapshot_on as month from {{ ref('fct_ar_aging') }}, build where snapshot_on > as_of
union all
select 'fct_cash_days' as mart, day as month from {{ ref('fct_cash_days') }}, build where day > as_of
union all
select 'fct_dunning' as mart, first_failed_on as month
from {{ ref('fct_dunning') }}, build
where first_failed_on > as_of
union all
select 'fct_unit_economics' as mart, month from {{ ref('fct_unit_economics') }}, build where month > as_of_month
union all
select 'fct_metric_prints' as mart, month from {{ ref('fct_metric_prints') }}, build where month > as_of_month
union all
select 'fct_revenue_months' as mart, month from {{ ref('fct_revenue_months') }}, build where month > as_of_month
union all
select 'fct_reconciliation' as mart, month from {{ ref('fct_reconciliation') }}, build where month > as_of_month
union all
select 'fct_deferred_waterfall' as mart, recognised_month as month
from {{ ref('fct_deferred_waterfall') }}, build
where not is_scheduled and recognised_month > as_of_month
union all
select 'fct_cohorts' as mart, cohort_month as month
from {{ ref('fct_cohorts') }}, build
where cohort_month + to_months(age_months) > as_of_month
union all
select 'fct_mrr_days' as mart, day as month from {{ ref('fct_mrr_days') }}, build where day > as_of
union all
select 'fct_mrr_spells' as mart, valid_from as month from {{ ref('fct_mrr_spells') }}, build where valid_from > as_of
union all
select 'fct_trials' as mart, trial_start as month from {{ ref('fct_trials') }}, build where trial_start > as_of
union all
select 'fct_renewals' as mart, due_on as month
from {{ ref('fct_renewals') }}, build
where (is_due or outcome <> 'undecided') and due_on > as_of
union all
select 'fct_invoices' as mart, issued_on as month from {{ ref('fct_invoices') }}, build where issued_on > as_of
