-- Cancellations from the month they are known to the one they take effect or are taken back. Of several notices of a
-- month the one that takes effect first counts; a later one replaces it.
with notices as (
  select
    cancellations.subscription_item_id,
    {{ snapshot_month('cancellations.requested_on') }} as known_from_month,
    {{ snapshot_month("coalesce(withdrawals.withdrawn_on, date '9999-12-31')") }} as known_until_month,
    {{ snapshot_month('cancellations.effective_on') }} as cancel_month
  from {{ ref('fct_cancellations') }} as cancellations
  left join {{ ref('stg_billing__cancellation_withdrawals') }} as withdrawals
    on withdrawals.subscription_item_id = cancellations.subscription_item_id
    and withdrawals.cancel_requested_on = cancellations.requested_on
  where cancellations.requested_on is not null and cancellations.effective_on is not null
)
select
  subscription_item_id,
  known_from_month,
  min(cancel_month) as cancel_month,
  least(
    max(known_until_month),
    min(cancel_month),
    coalesce(
      lead(known_from_month) over (partition by subscription_item_id order by known_from_month),
      date '9999-12-31')
  ) as known_until_month
from notices
where known_from_month < least(known_until_month, cancel_month)
group by subscription_item_id, known_from_month
