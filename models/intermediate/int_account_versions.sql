-- One row per subscription item, version and stretch of days on which it was known so, with the end that a history tells
-- of. A watched source says when it learned of an end; a history (stg_*_known) says only that service ended, long after:
-- that is known from the day it was asked for, else from the day itself, and never from the beginning of the row.
with policy as (
  select week_n, week_d, day_n, day_d from {{ ref('stg_meta__policy') }}
),
known as (
  select * from {{ ref('stg_billing__subscription_versions_known') }}
),
told as (
  select * from known
  where is_history
  qualify row_number() over (partition by subscription_item_id, version_no order by recorded_at desc, known_from desc) = 1
),
service as (
  select * from told where not is_deleted and status <> 'canceled' and valid_from < valid_to
),
ends as (
  select
    service.subscription_item_id,
    service.valid_to as ends_on,
    coalesce(service.cancel_requested_on, canceled.cancel_requested_on) as requested_on
  from service
  anti join (select subscription_item_id, valid_from as valid_to from service) as going_on
    using (subscription_item_id, valid_to)
  left join told as canceled
    on canceled.subscription_item_id = service.subscription_item_id
    and canceled.valid_from = service.valid_to
    and canceled.status = 'canceled'
    and not canceled.is_deleted
  where service.valid_to < date '9999-12-31'
  qualify row_number() over (
    partition by service.subscription_item_id, service.valid_to order by service.version_no desc
  ) = 1
)
select
  known.* exclude (cancel_requested_on, is_deleted),
  ends.ends_on,
  coalesce(ends.requested_on, ends.ends_on) as end_known_on,
  case when known.is_history then ends.requested_on else known.cancel_requested_on end as cancel_requested_on,
  -- the day its billing intervals are counted from, as far as known by then
  min(known.valid_from) over (
    partition by known.subscription_item_id, known.billing_interval, known.interval_count
    order by known.known_from, known.valid_from
  ) as anchor_on,
  case known.billing_interval when 'year' then 12 when 'month' then 1 end * known.interval_count as months,
  {{ month_factor_n('known.billing_interval') }} as factor_n,
  {{ month_factor_d('known.billing_interval', 'known.interval_count') }} as factor_d,
  case
    when factor_n = 1 and factor_d = 1 then known.recurring_minor::decimal(18, 6)
    else coalesce({{ monthly_rate('known.recurring_minor * 1000000000000::hugeint', 'factor_n', 'factor_d') }}, 0)
  end as list_mrr
from known
cross join policy
asof left join ends
  on ends.subscription_item_id = case when known.is_history then known.subscription_item_id end
  and known.valid_from < ends.ends_on
where not known.is_deleted
  and known.status <> 'canceled'
  and known.valid_from < known.valid_to
  and known.known_from < known.known_until
