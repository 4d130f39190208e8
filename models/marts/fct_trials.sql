-- Trialing versions that meet are one trial. It has converted when the item itself pays by 14 days after its end.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
trialing as (
  select
    *,
    lag(valid_to) over by_day is distinct from valid_from as is_first
  from {{ ref('stg_billing__subscription_versions') }}
  where status = 'trialing' and valid_from < coalesce(valid_to, date '9999-12-31')
  window by_day as (partition by subscription_item_id order by valid_from)
),
runs as (
  select *, count(*) filter (where is_first) over (partition by subscription_item_id order by valid_from) as trial_no
  from trialing
),
ended as (
  select
    subscription_item_id,
    trial_no,
    min(valid_from) as trial_start,
    coalesce(
      arg_max_null(trial_end_on, valid_from),
      arg_max_null(valid_to, valid_from),
      arg_max(trial_end_on, valid_from)) as trial_end,
    arg_min(subscription_id, valid_from) as subscription_id,
    arg_min(customer_id, valid_from) as billed_customer_id,
    arg_min(coalesce(plan_id, 'unknown'), valid_from) as plan_id,
    arg_min(currency, valid_from) as currency
  from runs
  group by subscription_item_id, trial_no
),
trials as (
  select
    *,
    trial_end + 14 as decided_by_on,
    lead(trial_start, 1, date '9999-12-31') over (partition by subscription_item_id order by trial_start) as next_start
  from ended
),
conversions as (
  select
    trials.subscription_item_id,
    trials.trial_start,
    min(items.valid_from) as converted_on,
    arg_min(items.mrr, items.valid_from) as mrr
  from trials
  cross join build
  join {{ ref('int_item_versions') }} as items
    on items.subscription_item_id = trials.subscription_item_id
    and items.valid_from >= trials.trial_start
    and items.valid_from < trials.next_start
    and items.valid_from <= trials.decided_by_on
  where items.mrr > 0 and items.status <> 'trialing' and items.valid_from <= build.as_of
  group by trials.subscription_item_id, trials.trial_start
)
select
  trials.subscription_item_id,
  trials.trial_start,
  trials.trial_end,
  date_trunc('month', trials.trial_start)::date as cohort_month,
  trials.subscription_id,
  customers.customer_id,
  trials.plan_id,
  customers.segment,
  trials.currency,
  coalesce(rates.amount_currency, trials.currency) as amount_currency,
  coalesce(trials.decided_by_on <= build.as_of, false) as is_matured,
  case
    when trials.decided_by_on is null or trials.decided_by_on > build.as_of then 'pending'
    when conversions.converted_on is not null then 'converted'
    else 'not_converted'
  end as outcome,
  trials.decided_by_on,
  conversions.converted_on,
  conversions.mrr::decimal(18, 6) as mrr_at_conversion
from trials
cross join build
{{ join_customer_of_day('trials.billed_customer_id', 'trials.trial_start') }}
left join conversions
  on conversions.subscription_item_id = trials.subscription_item_id
  and conversions.trial_start = trials.trial_start
left join {{ ref('int_rates') }} as rates on rates.currency = trials.currency
where trials.trial_start <= build.as_of
