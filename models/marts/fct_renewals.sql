-- Service on the last day of a term makes it due; service on or soon after its end renews it. Where MRR stops counting
-- before service does (policy churn_at), a term is worth what counted last.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
policy as (
  select late_renewal_days::integer as late_renewal_days from {{ ref('stg_meta__policy') }}
),
versions as (
  select * exclude (valid_to), coalesce(valid_to, date '9999-12-31') as valid_to
  from {{ ref('stg_billing__subscription_versions') }}
  where valid_from < coalesce(valid_to, date '9999-12-31')
),
service as (
  select * from versions where status <> 'canceled'
),
terms as (
  select
    subscription_item_id,
    term_end as due_on,
    max(term_start) as term_start,
    arg_max_null(notice_by_on, valid_from) as notice_by_on,
    arg_max_null(auto_renew, valid_from) as auto_renew
  from service
  where term_end is not null
  group by subscription_item_id, term_end
),
due as (
  select
    terms.*,
    terms.due_on + policy.late_renewal_days as decided_by_on,
    service.subscription_id,
    service.customer_id as billed_customer_id,
    coalesce(service.plan_id, 'unknown') as plan_id,
    service.currency,
    service.cancel_requested_on,
    service.cancel_reason,
    service.end_cause
  from terms
  cross join policy
  join service
    on service.subscription_item_id = terms.subscription_item_id
    and service.valid_from < terms.due_on
    and service.valid_to >= terms.due_on
),
-- what waits for a renewal isn't renewed yet
renewals as (
  select due.subscription_item_id, due.due_on, min(greatest(service.valid_from, due.due_on)) as renewed_on
  from due
  join service
    on service.subscription_item_id = due.subscription_item_id
    and service.valid_to > due.due_on
    and service.valid_from <= due.decided_by_on
  where service.status <> 'renewal_pending'
  group by due.subscription_item_id, due.due_on
),
values_before as (
  select due.subscription_item_id, due.due_on, arg_max(items.mrr, items.valid_from) as mrr
  from due
  join {{ ref('int_item_versions') }} as items
    on items.subscription_item_id = due.subscription_item_id
    and items.valid_from < due.due_on
  group by due.subscription_item_id, due.due_on
),
outcomes as (
  select
    due.*,
    case when renewals.renewed_on <= build.as_of then renewals.renewed_on end as renewed_on,
    case
      when renewals.renewed_on <= build.as_of then 'renewed'
      when due.decided_by_on <= build.as_of then 'lost'
      else 'undecided'
    end as outcome
  from due
  cross join build
  left join renewals using (subscription_item_id, due_on)
)
select
  outcomes.subscription_item_id,
  outcomes.due_on,
  outcomes.term_start,
  date_trunc('month', outcomes.due_on)::date as month,
  outcomes.due_on <= build.as_of as is_due,
  outcomes.subscription_id,
  customers.customer_id,
  outcomes.plan_id,
  customers.segment,
  outcomes.currency,
  outcomes.notice_by_on,
  outcomes.auto_renew,
  outcomes.cancel_requested_on,
  outcomes.outcome,
  case outcomes.outcome
    when 'renewed' then outcomes.renewed_on
    when 'lost' then outcomes.decided_by_on
  end as decided_on,
  case when outcomes.outcome = 'lost' then
    coalesce(
      ended.end_cause,
      outcomes.end_cause,
      case when coalesce(ended.cancel_reason, outcomes.cancel_reason) = 'payment' then 'involuntary' end,
      'voluntary')
  end as cause,
  coalesce(values_before.mrr, 0)::decimal(18, 6) as mrr_before,
  case outcomes.outcome
    when 'renewed' then coalesce(after.mrr, 0)
    when 'lost' then 0
  end::decimal(18, 6) as mrr_after,
  coalesce(rates.amount_currency, outcomes.currency) as amount_currency,
  (coalesce(values_before.mrr, 0)::decimal(20, 6) * coalesce(rates.constant_rate, 1)::decimal(18, 10))::decimal(38, 16)
    as mrr_before_constant
from outcomes
cross join build
{{ join_customer_of_day('outcomes.billed_customer_id', 'outcomes.due_on - 1') }}
left join versions as ended
  on ended.subscription_item_id = outcomes.subscription_item_id
  and ended.valid_from = outcomes.due_on
  and ended.status = 'canceled'
left join values_before
  on values_before.subscription_item_id = outcomes.subscription_item_id
  and values_before.due_on = outcomes.due_on
left join {{ ref('int_item_versions') }} as after
  on after.subscription_item_id = outcomes.subscription_item_id
  and after.valid_from <= outcomes.renewed_on
  and coalesce(after.valid_to, date '9999-12-31') > outcomes.renewed_on
left join {{ ref('int_rates') }} as rates on rates.currency = outcomes.currency
