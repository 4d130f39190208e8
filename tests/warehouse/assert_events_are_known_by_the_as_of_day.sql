-- What is decided, converted, ended or come back happened by the as-of day; what is to come is told apart.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
)
select 'fct_renewals' as mart, subscription_item_id, decided_on as event_on
from {{ ref('fct_renewals') }}, build
where decided_on > as_of or (decided_on is null) <> (outcome = 'undecided') or is_due <> (due_on <= as_of)
union all
select 'fct_trials' as mart, subscription_item_id, trial_start as event_on
from {{ ref('fct_trials') }}, build
where trial_start > as_of or converted_on > as_of or is_matured = (outcome = 'pending')
union all
select 'fct_cancellations' as mart, subscription_item_id, effective_on as event_on
from {{ ref('fct_cancellations') }}, build
where state = 'in_effect' and (effective_on is null or effective_on > as_of)
  or state <> 'in_effect' and (requested_on is null or requested_on > as_of)
  or returned_on > as_of
  or returned_on <= effective_on
