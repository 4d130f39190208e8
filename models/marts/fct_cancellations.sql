-- Ends of service, and requests that have none: still open, or taken back before they took effect.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
versions as (
  select * from {{ ref('stg_billing__subscription_versions') }}
  where valid_from < coalesce(valid_to, date '9999-12-31')
),
service as (
  select * from versions where status <> 'canceled'
),
last_versions as (
  select * from service
  anti join (select subscription_item_id, valid_from as valid_to from service) as going_on
    using (subscription_item_id, valid_to)
),
-- what the request says may stand on the canceled version alone
ends as (
  select
    last_versions.subscription_item_id,
    last_versions.subscription_id,
    last_versions.customer_id as billed_customer_id,
    last_versions.plan_id,
    last_versions.currency,
    last_versions.valid_to as effective_on,
    coalesce(last_versions.cancel_requested_on, canceled.cancel_requested_on) as requested_on,
    coalesce(last_versions.cancel_reason, canceled.cancel_reason) as reason,
    coalesce(canceled.end_cause, last_versions.end_cause) as end_cause
  from last_versions
  left join versions as canceled
    on canceled.subscription_item_id = last_versions.subscription_item_id
    and canceled.valid_from = last_versions.valid_to
    and canceled.status = 'canceled'
),
cancellations as (
  select
    ends.*,
    case
      when effective_on <= as_of then 'in_effect'
      when effective_on > as_of then 'scheduled'
      else 'requested'
    end as state,
    coalesce(effective_on - 1, as_of) as valued_on
  from ends
  cross join build
  where effective_on <= as_of or requested_on <= as_of
  union all by name
  select
    requests.subscription_item_id,
    requests.subscription_id,
    requests.customer_id as billed_customer_id,
    requests.plan_id,
    requests.currency,
    requests.planned_end_on as effective_on,
    requests.cancel_requested_on as requested_on,
    requests.cancel_reason as reason,
    null as end_cause,
    'taken_back' as state,
    requests.cancel_requested_on as valued_on
  from {{ ref('stg_billing__cancellation_requests') }} as requests
  cross join build
  anti join ends
    on ends.subscription_item_id = requests.subscription_item_id
    and ends.requested_on = requests.cancel_requested_on
  where (requests.is_standing or requests.is_withdrawn) and requests.cancel_requested_on <= build.as_of
),
-- a return is service of the item again, or of its subscription where that had ended as a whole
returns as (
  select
    cancellations.subscription_item_id,
    cancellations.effective_on,
    min(service.valid_from) filter (service.subscription_item_id = cancellations.subscription_item_id
      and service.valid_from > cancellations.effective_on) as item_returned_on,
    min(service.valid_from) filter (service.valid_from > cancellations.effective_on) as subscription_returned_on,
    bool_or(service.valid_from <= cancellations.effective_on
      and coalesce(service.valid_to, date '9999-12-31') > cancellations.effective_on) as is_still_served
  from cancellations
  cross join build
  join service on service.subscription_id = cancellations.subscription_id
  where cancellations.state = 'in_effect' and service.valid_from <= build.as_of
  group by cancellations.subscription_item_id, cancellations.effective_on
),
item_values as (
  select
    cancellations.subscription_item_id,
    cancellations.valued_on,
    arg_max(items.mrr, items.valid_from) as mrr
  from (select distinct subscription_item_id, valued_on from cancellations) as cancellations
  join {{ ref('int_item_versions') }} as items
    on items.subscription_item_id = cancellations.subscription_item_id
    and items.valid_from <= cancellations.valued_on
  group by cancellations.subscription_item_id, cancellations.valued_on
)
select
  cancellations.subscription_item_id,
  cancellations.requested_on,
  cancellations.effective_on,
  cancellations.state,
  cancellations.subscription_id,
  customers.customer_id,
  coalesce(cancellations.plan_id, 'unknown') as plan_id,
  customers.segment,
  cancellations.currency,
  cancellations.reason,
  case when cancellations.state <> 'taken_back' then
    coalesce(
      cancellations.end_cause,
      case when cancellations.reason = 'payment' then 'involuntary' else 'voluntary' end)
  end as end_cause,
  coalesce(item_values.mrr, 0)::decimal(18, 6) as mrr_before,
  case when cancellations.state = 'in_effect' then coalesce(item_values.mrr, 0) else 0 end::decimal(18, 6) as mrr_lost,
  least(
    returns.item_returned_on,
    case when not returns.is_still_served then returns.subscription_returned_on end) as returned_on,
  cancellations.state = 'taken_back'
    or returns.item_returned_on is not null
    or coalesce(not returns.is_still_served and returns.subscription_returned_on is not null, false) as is_taken_back
from cancellations
{{ join_customer_of_day('cancellations.billed_customer_id', 'cancellations.valued_on') }}
left join item_values
  on item_values.subscription_item_id = cancellations.subscription_item_id
  and item_values.valued_on = cancellations.valued_on
left join returns
  on returns.subscription_item_id = cancellations.subscription_item_id
  and returns.effective_on = cancellations.effective_on
  and cancellations.state = 'in_effect'
