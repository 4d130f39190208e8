-- One row per as-of day, look back (0, 90, 365 days) and subscription item in service on the day looked back to, as known
-- on the as-of day, with its rate a month. Whoever pays late is judged on the as-of day alone.
{% set rate = 'coalesce(rates.rate, 1)::decimal(18, 10)' -%}
with days as (
  select as_of from {{ ref('int_account_days') }}
),
policy as (
  select * from {{ ref('stg_meta__policy') }}
),
looks as (
  select days.as_of, back.days_back, days.as_of - back.days_back as looked_on
  from days
  cross join (select unnest([0, 90, 365]) as days_back) as back
),
live as (
  select looks.as_of, looks.days_back, looks.looked_on, versions.*
  from looks
  join {{ ref('int_account_versions') }} as versions
    on versions.known_from <= looks.as_of
    and versions.known_until > looks.as_of
    and versions.valid_from <= looks.looked_on
    and versions.valid_to > looks.looked_on
  where not coalesce(versions.end_known_on <= looks.as_of and versions.ends_on <= looks.looked_on, false)
  qualify row_number() over (
    partition by looks.as_of, looks.days_back, versions.subscription_item_id
    order by versions.recorded_at desc, versions.version_no desc
  ) = 1
),
discounts as (
  select
    looks.as_of,
    looks.days_back,
    known.*,
    known.duration = 'repeating' and known.valid_to > looks.as_of as is_ending
  from looks
  join {{ ref('stg_billing__discounts_known') }} as known
    on known.known_from <= looks.as_of
    and known.known_until > looks.as_of
    and known.valid_from <= looks.looked_on
    and known.valid_to > looks.looked_on
  cross join policy
  where policy.discounts in ('running', 'largest_only') and known.duration <> 'once'
    or policy.discounts = 'forever_only' and known.duration = 'forever'
),
running as (
  select
    live.as_of,
    live.days_back,
    live.subscription_item_id,
    list(
      {
        'taken_ppm': coalesce(discounts.percent_ppm, 0),
        'taken_minor': coalesce(discounts.amount_minor, 0),
        'amount_e12': 0::hugeint
      }
      order by
        case when policy.discounts = 'largest_only' then
          -greatest(
            coalesce(discounts.amount_minor, 0) * 1000000::hugeint,
            live.recurring_minor * coalesce(discounts.percent_ppm, 0)::hugeint)
        end,
        discounts.order_no,
        discounts.discount_id
    ) as given_discounts,
    -- a history cuts a discount where its item ended: its last day would tell of that
    bool_or(discounts.is_ending and discounts.is_history) as is_end_hidden,
    bool_or(discounts.is_ending and not discounts.is_history and discounts.valid_to <= live.as_of + 90) as ends_in_90
  from live
  join discounts using (as_of, days_back, subscription_item_id)
  cross join policy
  where discounts.currency is null or coalesce(discounts.amount_minor, 0) = 0 or discounts.currency = live.currency
  group by live.as_of, live.days_back, live.subscription_item_id
),
-- items of invoices that were due longer ago than the days of grace
overdue as materialized (
  select days.as_of, unpaid.invoice_id
  from days
  cross join policy
  join {{ ref('int_account_unpaid') }} as unpaid
    on unpaid.valid_from <= days.as_of and unpaid.valid_to > days.as_of
  where (policy.grace_days is not null or policy.past_due_grace_days = 'restate')
    and unpaid.due_on + coalesce(policy.grace_days, 30) + 1 <= days.as_of
),
late_items as (
  select distinct overdue.as_of, lines.subscription_item_id
  from overdue
  join {{ ref('stg_billing__invoice_lines_known') }} as lines
    on lines.invoice_id = overdue.invoice_id
    and lines.known_from <= overdue.as_of and lines.known_until > overdue.as_of
  where lines.subscription_item_id is not null
),
-- from when on an item has invoices that have a due day; before that its status tells
billed_items as (
  select
    lines.subscription_item_id,
    min(greatest(invoices.issued_on, invoices.known_from, lines.known_from)) as billed_from
  from {{ ref('stg_billing__invoice_lines_known') }} as lines
  join {{ ref('stg_billing__invoices_known') }} as invoices using (invoice_id)
  where lines.subscription_item_id is not null and invoices.due_on is not null
  group by lines.subscription_item_id
),
valued as (
  select
    live.*,
    coalesce(running.is_end_hidden, false) as is_end_hidden,
    coalesce(running.ends_in_90, false) as ends_in_90,
    live.days_back = 0 and (
      late_items.subscription_item_id is not null
      or live.status = 'past_due'
      and coalesce(billed_items.billed_from > live.as_of, true)
      and (policy.grace_days is not null or policy.past_due_grace_days = 'restate')
      and live.valid_from + coalesce(policy.grace_days, 30) + 1 <= live.as_of
    ) is true as is_late,
    case when policy.discounts = 'largest_only' then running.given_discounts[1:1] else running.given_discounts end
      as taken,
    case
      when running.given_discounts is null then live.list_mrr
      else coalesce({{ monthly_rate(
        discounted('live.recurring_minor * 1000000000000::hugeint', 'taken'), 'live.factor_n', 'live.factor_d'
      ) }}, 0)
    end as net_mrr
  from live
  cross join policy
  left join running using (as_of, days_back, subscription_item_id)
  left join late_items using (as_of, subscription_item_id)
  left join billed_items using (subscription_item_id)
),
ending as (
  select
    valued.*,
    {{ why_not_in_mrr('is_late') }} as why_not,
    -- a cancellation that was known by the as-of day, with the day it takes effect
    case
      when valued.cancel_requested_on > valued.as_of then null
      when valued.is_history and valued.end_known_on <= valued.as_of then valued.ends_on
      when not valued.is_history and valued.cancel_requested_on is not null then nullif(valued.valid_to, date '9999-12-31')
    end as leaves_on,
    coalesce(round((valued.term_end - valued.term_start) / 30.4375)::integer, valued.months) as term_months,
    (valued.term_end - valued.notice_by_on)::integer as notice_days,
    case
      when {{ add_months('valued.term_start', 'term_months') }} = valued.term_end then valued.term_start
      else valued.term_end
    end as term_anchor_on
  from valued
  cross join policy
),
-- A term renews by itself once its notice day has passed without one: it then binds to the end of the first term whose
-- notice day is still ahead. Notice is a number of days before an end.
judged as (
  select
    *,
    case
      when auto_renew and term_end > as_of and notice_by_on <= as_of and leaves_on is null and term_months > 0
        then {{ next_anniversary('term_anchor_on', 'term_months', '(as_of + notice_days)') }}
    end as renewed_until
  from ending
)
select
  judged.as_of,
  judged.days_back,
  customers.customer_id,
  judged.customer_id as billed_customer_id,
  judged.subscription_id,
  judged.subscription_item_id,
  judged.plan_id,
  plans.plan_tier,
  coalesce(plans.is_add_on, false) as is_add_on,
  judged.status,
  judged.currency,
  judged.quantity,
  judged.term_end,
  -- the end of the running term, or of the year that is paid for where no term is agreed
  case
    when judged.term_end > judged.as_of then judged.term_end
    when judged.months >= 12 then {{ next_anniversary('judged.anchor_on', 'judged.months', 'judged.as_of') }}
  end as committed_until,
  judged.renewed_until,
  -- the last day for notice that is still ahead, else the end
  case
    when judged.renewed_until is not null then judged.renewed_until - judged.notice_days
    when judged.term_end > judged.as_of and judged.notice_by_on > judged.as_of then judged.notice_by_on
    else committed_until
  end as decision_on,
  judged.notice_by_on,
  judged.auto_renew,
  judged.factor_d::double / judged.factor_n::double as interval_months,
  judged.leaves_on,
  judged.is_known_day_assumed as known_day_assumed,
  judged.is_end_hidden,
  judged.ends_in_90,
  judged.why_not,
  judged.list_mrr,
  case when judged.why_not is null then judged.net_mrr else 0 end::decimal(18, 6) as mrr,
  (judged.list_mrr::decimal(20, 6) * {{ rate }})::decimal(38, 16) as list_constant,
  (case when judged.why_not is null then judged.net_mrr else 0 end::decimal(20, 6) * {{ rate }})::decimal(38, 16)
    as mrr_constant,
  {{ rate }} as constant_rate,
  rates.rate is not null or judged.currency = policy.reporting_currency as is_rate_known
from judged
cross join policy
join {{ ref('int_account_customers') }} as customers
  on customers.as_of = judged.as_of and customers.billed_customer_id = judged.customer_id
left join {{ ref('int_account_rates') }} as rates
  on rates.as_of = judged.as_of and rates.currency = judged.currency and rates.currency <> policy.reporting_currency
left join {{ ref('stg_billing__plans_known') }} as plans
  on plans.plan_id = judged.plan_id and plans.known_from <= judged.as_of and plans.known_until > judged.as_of
where not customers.is_test
