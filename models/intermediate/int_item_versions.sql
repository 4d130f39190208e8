{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'through': [
    'intermediate.int_subscription_versions', 'staging.stg_billing__subscription_versions', 'staging.stg_billing__discounts',
  ],
  'reads': {
    'intermediate.int_subscription_versions': 'as touched',
    'intermediate.int_customer_attributes': 'customer_id',
    'raw_billing.subscription_versions': 'customer_id',
    'raw_billing.discounts': 'subscription_item_id in (
      select subscription_item_id from touched.int_subscription_versions
    )',
  },
}) }}
-- depends_on: {{ ref('int_touched_customers') }}
-- One row per subscription item and stretch of days in which nothing that MRR depends on changes: version, running
-- discounts, lateness, and the customer of the day with its segment and channel. mrr is 0 where why_not says why;
-- keeps_customer: who has paid remains a customer meanwhile (policies pause and zero_mrr).
with policy as (
  select * from {{ ref('stg_meta__policy') }}
),
versions as (
  select * from {{ ref('int_subscription_versions') }}
),
given_discounts as (
  select
    subscription_item_id,
    valid_from,
    coalesce(valid_to, date '9999-12-31') as valid_to,
    coalesce(percent_ppm, 0) as taken_ppm,
    coalesce(amount_minor, 0) as taken_minor,
    currency,
    order_no,
    discount_id
  from {{ ref('stg_billing__discounts') }}
  where (select mrr_source from policy) = 'subscription_versions'
    and (
      (select discounts from policy) in ('running', 'largest_only') and duration <> 'once'
      or (select discounts from policy) = 'forever_only' and duration = 'forever'
    )
  -- a bill says what was taken off it, and not for how long: what is not taken once counts as lasting
  union all
  select
    subscription_item_id,
    valid_from,
    valid_to,
    0 as taken_ppm,
    discount_minor as taken_minor,
    currency,
    1 as order_no,
    'billed' as discount_id
  from versions
  where discount_minor > 0 and (select discounts from policy) <> 'list'
),
-- of each item the recurring discounts, in their order, and the stretches of days out of MRR for lateness
discounts as (
  select
    subscription_item_id,
    list(
      {
        'valid_from': valid_from,
        'valid_to': valid_to,
        'taken_ppm': taken_ppm,
        'taken_minor': taken_minor,
        'currency': currency
      }
      order by order_no, discount_id
    ) as discounts
  from given_discounts
  group by subscription_item_id
),
late_days as (
  select subscription_item_id, list({'valid_from': valid_from, 'valid_to': valid_to}) as late_days
  from {{ ref('int_past_due_days') }}
  group by subscription_item_id
),
cuts as (
  select
    subscription_item_id,
    discounts,
    late_days,
    list_sort(list_distinct(list_concat(
      list_transform(discounts, lambda one: one.valid_from), list_transform(discounts, lambda one: one.valid_to),
      list_transform(late_days, lambda one: one.valid_from), list_transform(late_days, lambda one: one.valid_to)
    ))) as cut_days
  from discounts
  full join late_days using (subscription_item_id)
),
cut_versions as (
  select
    versions.*,
    cuts.discounts as item_discounts,
    cuts.late_days,
    list_filter(cuts.cut_days, lambda day: day > versions.valid_from and day < versions.valid_to) as cut_days
  from versions
  left join cuts using (subscription_item_id)
  where versions.valid_from < versions.valid_to
),
stretches as (
  select
    * exclude (valid_from, valid_to, cut_days),
    unnest(list_prepend(valid_from, coalesce(cut_days, []))) as valid_from,
    unnest(list_append(coalesce(cut_days, []), valid_to)) as valid_to
  from cut_versions
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
-- the discounts that run in a stretch, each with what it would take alone
running as (
  select
    *,
    case when item_discounts is not null then
      list_transform(
        list_filter(
          item_discounts,
          lambda one: one.valid_from <= valid_from and one.valid_to > valid_from
            and (one.currency is null or one.taken_minor = 0 or one.currency = currency)
        ),
        lambda one: {
          'taken_ppm': one.taken_ppm,
          'taken_minor': one.taken_minor,
          'amount_e12': 0::hugeint,
          'alone': greatest(one.taken_minor * 1000000::hugeint, amount_minor * one.taken_ppm::hugeint)
        }
      )
    end as running_discounts
  from of_customers
),
chosen as (
  select
    * exclude (running_discounts),
    case
      when (select discounts from policy) = 'largest_only'
        then list_filter(
          running_discounts,
          lambda one: one.alone = list_max(list_transform(running_discounts, lambda other: other.alone))
        )[1:1]
      else running_discounts
    end as running_discounts
  from running
),
priced as (
  select
    stretches.* exclude (item_discounts, late_days, running_discounts),
    (stretches.amount_minor + stretches.committed_minimum_minor) as recurring_minor,
    recurring_minor * 1000000000000::hugeint as amount_e12,
    case when len(running_discounts) > 0 then
      list_transform(
        running_discounts,
        lambda one: {'taken_ppm': one.taken_ppm, 'taken_minor': one.taken_minor, 'amount_e12': 0::hugeint}
      )
    end as discounts,
    len(list_filter(
      late_days, lambda one: one.valid_from <= stretches.valid_from and one.valid_to > stretches.valid_from
    )) > 0 as is_late,
    {{ month_factor_n('stretches.billing_interval') }} as factor_n,
    {{ month_factor_d('stretches.billing_interval', 'stretches.interval_count') }} as factor_d
  from chosen as stretches
  cross join policy
),
listed as (
  select
    *,
    case
      when factor_n = 1 and factor_d = 1 then recurring_minor::decimal(18, 6)
      else coalesce({{ monthly_rate('amount_e12', 'factor_n', 'factor_d') }}, 0)
    end as list_mrr
  from priced
),
valued as (
  select
    *,
    case
      when discounts is null then list_mrr
      else coalesce({{ monthly_rate(discounted('amount_e12', 'discounts'), 'factor_n', 'factor_d') }}, 0)
    end as net_mrr
  from listed
),
judged as (
  select
    valued.*,
    {{ why_not_in_mrr('is_late') }} as why_not
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
