{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'through': ['staging.stg_billing__subscription_versions'],
  'reads': {'raw_billing.subscription_versions': 'customer_id'},
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
-- One row per subscription item and version that MRR is made from, as the policy chooses: the versions of subscriptions or
-- the periods billed (mrr_source), ended where the policy ends them (churn_at), and where use is in MRR an item of its own
-- for the use of each item (usage). By default these are the versions as written, and nothing else is worked out.
with build as (
  select as_of, {{ add_months("date_trunc('month', as_of + 1)::date", -1) }} as last_closed_month
  from {{ ref('stg_meta__build') }}
),
policy as (
  select
    mrr_source,
    churn_at,
    "usage" as use_rule,
    mrr_source = 'subscription_versions' and churn_at = 'service_end' and "usage" = 'out' as is_as_written
  from {{ ref('stg_meta__policy') }}
),
bills as materialized (
  select billed.*
  from {{ ref('int_billed_service') }} as billed
  join policy on policy.mrr_source = 'billed_lines' or policy.churn_at = 'billing_end'
),
versions as not materialized (
  select
    subscription_item_id,
    version_no,
    subscription_id,
    customer_id,
    coalesce(plan_id, 'unknown') as plan_id,
    amount_minor,
    0::bigint as discount_minor,
    currency,
    billing_interval,
    interval_count,
    quantity,
    committed_minimum_minor,
    status,
    valid_from,
    coalesce(valid_to, date '9999-12-31') as valid_to,
    cancel_requested_on,
    cancel_reason,
    end_cause,
    recorded_at
  from {{ ref('stg_billing__subscription_versions') }}
),
written as materialized (
  select versions.*
  from versions
  join policy on not policy.is_as_written
  where versions.valid_from < versions.valid_to
),
-- stretches of service without a gap
served as (
  select *, lag(valid_to) over by_day is distinct from valid_from as is_first
  from written
  where status <> 'canceled'
  window by_day as (partition by subscription_item_id order by valid_from)
),
numbered as (
  select *, count(*) filter (where is_first) over (partition by subscription_item_id order by valid_from) as run_no
  from served
),
runs as (
  select
    subscription_item_id,
    min(valid_from) as run_start,
    max(valid_to) as run_end,
    arg_max_null(cancel_reason, valid_from) as cancel_reason,
    arg_max_null(end_cause, valid_from) as end_cause,
    lead(min(valid_from), 1, date '9999-12-31') over (
      partition by subscription_item_id order by min(valid_from)
    ) as next_start
  from numbered
  group by subscription_item_id, run_no
),
-- a run that has ended ends with the last service billed in it; one that was never billed, with its service
billing_ends as (
  select
    runs.subscription_item_id,
    runs.run_start,
    runs.run_end,
    runs.next_start,
    runs.cancel_reason,
    runs.end_cause,
    least(max(billed.service_end), runs.next_start) as billed_until
  from runs
  join policy on policy.churn_at = 'billing_end'
  join build on runs.run_end <= build.as_of
  join bills as billed
    on billed.subscription_item_id = runs.subscription_item_id
    and billed.service_end > runs.run_start
    and billed.service_start < runs.next_start
  group by
    runs.subscription_item_id, runs.run_start, runs.run_end, runs.next_start, runs.cancel_reason, runs.end_cause
),
ended as (
  select
    written.subscription_item_id,
    written.version_no,
    ends.billed_until,
    ends.run_end = written.valid_to or ends.billed_until <= written.valid_to as is_last,
    ends.cancel_reason,
    ends.end_cause
  from written
  join billing_ends as ends
    on ends.subscription_item_id = written.subscription_item_id
    and ends.run_start <= written.valid_from
    and ends.run_end > written.valid_from
  where written.status <> 'canceled'
),
-- what is canceled begins where the service before it ends
canceled as (
  select
    written.subscription_item_id,
    written.version_no,
    case
      when written.valid_from = ends.run_end then ends.billed_until
      else greatest(written.valid_from, ends.billed_until)
    end as valid_from
  from written
  join billing_ends as ends
    on ends.subscription_item_id = written.subscription_item_id
    and ends.run_end <= written.valid_from
    and ends.next_start > written.valid_from
  where written.status = 'canceled'
),
-- the last version knows whether a cancellation stands
cancel_requests as (
  select written.subscription_item_id, arg_max_null(written.cancel_requested_on, written.valid_from) as requested_on
  from written
  join policy on policy.churn_at = 'cancel_request'
  group by written.subscription_item_id
),
of_versions as (
  select
    written.* exclude (valid_from, valid_to, cancel_requested_on, cancel_reason, end_cause),
    coalesce(canceled.valid_from, written.valid_from) as valid_from,
    least(
      case
        when ended.is_last then ended.billed_until
        when ended.billed_until < written.valid_from then written.valid_from
        else written.valid_to
      end,
      coalesce(requests.requested_on, date '9999-12-31')
    ) as valid_to,
    case when ended.is_last then ended.cancel_reason else written.cancel_reason end as cancel_reason,
    case when ended.is_last then ended.end_cause else written.end_cause end as end_cause
  from written
  join policy on policy.mrr_source = 'subscription_versions'
  left join ended using (subscription_item_id, version_no)
  left join canceled using (subscription_item_id, version_no)
  left join cancel_requests as requests using (subscription_item_id)
),
-- a billed period gives way to the next one
billed as (
  select
    billed.*,
    lead(billed.service_start) over (
      partition by billed.subscription_item_id order by billed.service_start, billed.service_end
    ) as next_start,
    (row_number() over (
      partition by billed.subscription_item_id order by billed.service_start, billed.service_end
    ))::bigint as version_no,
    -- a period of whole months ends on the day it began on, or on the last of a shorter month
    greatest(day(billed.service_start), day(billed.service_end)) as anchor_day,
    {{ months_between('billed.service_start', 'billed.service_end') }} as months,
    billed.service_end - billed.service_start as days
  from bills as billed
  join policy on policy.mrr_source = 'billed_lines'
),
counted as (
  select
    *,
    months >= 1
      and (day(service_start) = anchor_day or service_start = last_day(service_start))
      and (day(service_end) = anchor_day or service_end = last_day(service_end)) as is_whole_months
  from billed
),
item_ends as (
  select subscription_item_id, max(valid_to) as ends_on
  from written
  where status <> 'canceled'
  group by subscription_item_id
),
of_bills as (
  select
    counted.subscription_item_id,
    counted.version_no,
    coalesce(begun.subscription_id, counted.subscription_item_id) as subscription_id,
    coalesce(begun.customer_id, counted.customer_id) as customer_id,
    coalesce(begun.plan_id, 'unknown') as plan_id,
    counted.amount_minor,
    counted.discount_minor,
    counted.currency,
    -- without a version the days tell the interval
    case
      when begun.subscription_item_id is not null then begun.billing_interval
      when counted.is_whole_months then 'month'
      when counted.days % 7 = 0 then 'week'
      else 'day'
    end as billing_interval,
    case
      when begun.subscription_item_id is not null then begun.interval_count
      when counted.is_whole_months then counted.months
      when counted.days % 7 = 0 then counted.days // 7
      else counted.days
    end::integer as interval_count,
    coalesce(counted.quantity, begun.quantity, 1) as quantity,
    0::bigint as committed_minimum_minor,
    'active' as status,
    counted.recorded_at,
    counted.service_start as valid_from,
    least(
      case
        when counted.next_start is not null then least(counted.service_end, counted.next_start)
        -- what runs on is worth its last bill until the next one, for one interval at the most
        when coalesce(item_ends.ends_on, date '9999-12-31') > build.as_of
          and counted.service_end + counted.days::integer > build.as_of
          then greatest(counted.service_end, coalesce(item_ends.ends_on, date '9999-12-31'))
        else counted.service_end
      end,
      coalesce(requests.requested_on, date '9999-12-31')
    ) as valid_to,
    latest.cancel_reason,
    latest.end_cause
  from counted
  cross join build
  left join item_ends using (subscription_item_id)
  left join cancel_requests as requests using (subscription_item_id)
  asof left join written as begun
    on begun.subscription_item_id = counted.subscription_item_id
    and begun.valid_from <= counted.service_start
  asof left join written as latest
    on latest.subscription_item_id = counted.subscription_item_id
    and latest.valid_from < counted.service_end
),
chosen as (
  select * from of_versions where valid_from < valid_to
  union all by name
  select * from of_bills where valid_from < valid_to
),
-- what an item used in the last three closed months, from the close of each month to that of the next
use_means as (
  select
    used.subscription_item_id,
    {{ add_months('used.month', 'later.months') }} as closed_month,
    sum(used.rated_minor)::bigint as amount_minor
  from {{ ref('int_usage_months') }} as used
  join policy on policy.use_rule = 'in_3m_mean'
  cross join (select unnest([0, 1, 2]) as months) as later
  join build on {{ add_months('used.month', 'later.months') }} <= build.last_closed_month
  where {{ add_months('used.first_month', 2) }} <= {{ add_months('used.month', 'later.months') }}
  group by used.subscription_item_id, closed_month
),
use_days as (
  select
    use_means.*,
    last_day(use_means.closed_month) as valid_from,
    case
      when use_means.closed_month = build.last_closed_month then date '9999-12-31'
      else last_day({{ add_months('use_means.closed_month', 1) }})
    end as valid_to
  from use_means
  cross join build
),
of_use as (
  select
    chosen.* replace (
      {{ item_of_use('chosen.subscription_item_id') }} as subscription_item_id,
      (row_number() over (
        partition by chosen.subscription_item_id order by greatest(chosen.valid_from, use_days.valid_from)
      ))::bigint as version_no,
      use_days.amount_minor as amount_minor,
      0::bigint as discount_minor,
      0::bigint as committed_minimum_minor,
      'month' as billing_interval,
      3 as interval_count,
      1 as quantity,
      greatest(chosen.valid_from, use_days.valid_from) as valid_from,
      least(chosen.valid_to, use_days.valid_to) as valid_to
    )
  from chosen
  join use_days
    on use_days.subscription_item_id = chosen.subscription_item_id
    and use_days.valid_from < chosen.valid_to
    and chosen.valid_from < use_days.valid_to
)
select versions.* exclude (cancel_requested_on)
from versions
join policy on policy.is_as_written
union all by name
select * from chosen
union all by name
select * from of_use
