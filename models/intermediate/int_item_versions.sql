-- One row per subscription item and stretch of days in which nothing that MRR depends on changes: version, running
-- discounts, lateness, and the customer of the day with its segment and channel. mrr is 0 where why_not says why;
-- keeps_customer: who has paid remains a customer meanwhile (policies pause and zero_mrr).
with policy as (
  select * from {{ ref('stg_meta__policy') }}
),
cancel_requests as (
  -- read only where churn counts from the request: the last version knows whether a cancellation stands
  select subscription_item_id, arg_max_null(cancel_requested_on, valid_from) as requested_on
  from {{ ref('stg_billing__subscription_versions') }}
  where (select churn_at from policy) = 'cancel_request'
  group by subscription_item_id
),
versions as (
  select
    versions.* exclude (valid_to, plan_id, cancel_requested_on),
    coalesce(versions.plan_id, 'unknown') as plan_id,
    least(coalesce(versions.valid_to, date '9999-12-31'), coalesce(requests.requested_on, date '9999-12-31')) as valid_to
  from {{ ref('stg_billing__subscription_versions') }} as versions
  left join cancel_requests as requests using (subscription_item_id)
),
discounts as (
  select
    subscription_item_id,
    discount_id,
    valid_from,
    coalesce(valid_to, date '9999-12-31') as valid_to,
    coalesce(percent_ppm, 0) as taken_ppm,
    coalesce(amount_minor, 0) as taken_minor,
    currency,
    order_no
  from {{ ref('stg_billing__discounts') }}
  where (
    (select discounts from policy) in ('running', 'largest_only') and duration <> 'once'
    or (select discounts from policy) = 'forever_only' and duration = 'forever'
  )
),
cuts as (
  select subscription_item_id, valid_from as cut_on from discounts
  union
  select subscription_item_id, valid_to as cut_on from discounts
  union
  select subscription_item_id, valid_from as cut_on from {{ ref('int_past_due_days') }}
  union
  select subscription_item_id, valid_to as cut_on from {{ ref('int_past_due_days') }}
),
version_cuts as (
  select
    versions.subscription_item_id,
    versions.version_no,
    list(cuts.cut_on order by cuts.cut_on) as cut_days
  from versions
  join cuts
    on cuts.subscription_item_id = versions.subscription_item_id
    and cuts.cut_on > versions.valid_from
    and cuts.cut_on < versions.valid_to
  group by versions.subscription_item_id, versions.version_no
),
stretches as (
  select * from versions
  anti join version_cuts using (subscription_item_id, version_no)
  where valid_from < valid_to
  union all by name
  select
    versions.* exclude (valid_from, valid_to),
    unnest(list_prepend(versions.valid_from, version_cuts.cut_days)) as valid_from,
    unnest(list_append(version_cuts.cut_days, versions.valid_to)) as valid_to
  from versions
  join version_cuts using (subscription_item_id, version_no)
  where versions.valid_from < versions.valid_to
),
-- the same stretches, cut where the parent or the parent's attributes change
of_units as (
  select
    stretches.* exclude (valid_from, valid_to, customer_id),
    greatest(stretches.valid_from, coalesce(parents.valid_from, stretches.valid_from)) as valid_from,
    least(stretches.valid_to, coalesce(parents.valid_to, stretches.valid_to)) as valid_to,
    stretches.customer_id as billed_customer_id,
    coalesce(parents.unit_customer_id, stretches.customer_id) as customer_id
  from stretches
  left join {{ ref('int_customer_parents') }} as parents
    on parents.customer_id = stretches.customer_id
    and parents.valid_from < stretches.valid_to
    and stretches.valid_from < parents.valid_to
),
of_customers as (
  select
    of_units.* exclude (valid_from, valid_to),
    greatest(of_units.valid_from, attributes.valid_from) as valid_from,
    least(of_units.valid_to, attributes.valid_to) as valid_to,
    attributes.segment,
    attributes.acquisition_channel
  from of_units
  join {{ ref('int_customer_attributes') }} as attributes
    on attributes.customer_id = of_units.customer_id
    and attributes.valid_from < of_units.valid_to
    and of_units.valid_from < attributes.valid_to
  where not attributes.is_test
),
running_discounts as (
  select
    stretches.subscription_item_id,
    stretches.valid_from,
    list(
      {'taken_ppm': discounts.taken_ppm, 'taken_minor': discounts.taken_minor, 'amount_e12': 0::hugeint}
      order by
        case
          when (select discounts from policy) = 'largest_only'
            then greatest(discounts.taken_minor * 1000000::hugeint, stretches.amount_minor * discounts.taken_ppm::hugeint)
        end desc,
        discounts.order_no,
        discounts.discount_id
    ) as discounts
  from of_customers as stretches
  join discounts
    on discounts.subscription_item_id = stretches.subscription_item_id
    and discounts.valid_from <= stretches.valid_from
    and discounts.valid_to > stretches.valid_from
    and (discounts.currency is null or discounts.taken_minor = 0 or discounts.currency = stretches.currency)
  group by stretches.subscription_item_id, stretches.valid_from
),
priced as (
  select
    stretches.*,
    (stretches.amount_minor + stretches.committed_minimum_minor) * 1000000000000::hugeint as amount_e12,
    case
      when (select discounts from policy) = 'largest_only' then running.discounts[1:1] else running.discounts
    end as discounts,
    case stretches.billing_interval
      when 'month' then 1
      when 'year' then 1
      when 'week' then policy.week_n
      when 'day' then policy.day_n
    end::hugeint as factor_n,
    case stretches.billing_interval
      when 'month' then 1
      when 'year' then 12
      when 'week' then policy.week_d
      when 'day' then policy.day_d
    end::hugeint * stretches.interval_count as factor_d
  from of_customers as stretches
  left join running_discounts as running
    on running.subscription_item_id = stretches.subscription_item_id
    and running.valid_from = stretches.valid_from
  cross join policy
),
valued as (
  select
    *,
    coalesce({{ monthly_rate('amount_e12', 'factor_n', 'factor_d') }}, 0) as list_mrr,
    coalesce(
      case
        when discounts is null then {{ monthly_rate('amount_e12', 'factor_n', 'factor_d') }}
        else {{ monthly_rate(discounted('amount_e12', 'discounts'), 'factor_n', 'factor_d') }}
      end, 0) as net_mrr
  from priced
),
judged as (
  select
    valued.*,
    case
      when status = 'canceled' then 'canceled'
      when status = 'trialing' and policy.trials = 'out' then 'trial'
      when status = 'paused' and policy.pause <> 'pause_ignored' then 'paused'
      when status in ('unpaid', 'incomplete') and policy.unpaid_incomplete = 'out' then status
      when factor_d is null then 'one_time'
      when status in ('active', 'past_due', 'renewal_pending') and exists (
        select 1 from {{ ref('int_past_due_days') }} as late
        where late.subscription_item_id = valued.subscription_item_id
          and late.valid_from <= valued.valid_from
          and late.valid_to > valued.valid_from
      ) then 'past_due'
      when net_mrr < 1 and list_mrr >= 1 then 'fully_discounted'
      when net_mrr < 1 then 'no_amount'
    end as why_not
  from valued
  cross join policy
)
select
  subscription_item_id,
  valid_from,
  nullif(valid_to, date '9999-12-31') as valid_to,
  version_no,
  subscription_id,
  customer_id,
  billed_customer_id,
  currency,
  segment,
  plan_id,
  acquisition_channel,
  status,
  amount_e12,
  quantity,
  billing_interval,
  interval_count,
  factor_n,
  factor_d,
  discounts,
  list_mrr,
  net_mrr,
  why_not is null as counts_in_mrr,
  why_not,
  (
    why_not = 'paused' and net_mrr >= 1 and (select pause from policy) = 'pause_contraction'
    or why_not in ('fully_discounted', 'no_amount') and (select zero_mrr from policy) = 'keep_active'
  ) is true as keeps_customer,
  case when why_not is null then net_mrr else 0 end::decimal(18, 6) as mrr,
  case when why_not is null then list_mrr - net_mrr else 0 end::decimal(18, 6) as discount_mrr,
  case when why_not = 'trial' and net_mrr >= 1 then net_mrr else 0 end::decimal(18, 6) as trial_mrr,
  coalesce(end_cause, case when cancel_reason = 'payment' then 'involuntary' end) as end_cause,
  recorded_at
from judged
