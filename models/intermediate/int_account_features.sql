-- One row per paying customer and as-of day on which it has MRR: who it is and every feature, of what was known on that
-- day. Reads staging models of known rows alone, through int_account_*. What each column means: churn_model/account_features.toml.
with policy as (
  select reporting_currency from {{ ref('stg_meta__policy') }}
),
items as (
  select * from {{ ref('int_account_items') }}
),
paying as (
  select
    *,
    coalesce(renewed_until, committed_until) as bound_until,
    case when bound_until is not null then least(bound_until - as_of, 365) else 0 end as committed_days
  from items
  where days_back = 0 and mrr > 0 and status <> 'trialing'
),
accounts as (
  select
    as_of,
    customer_id,
    sum(mrr_constant) as mrr,
    sum(list_constant) as list_mrr,
    coalesce(sum(mrr_constant) filter (is_add_on), 0) as add_on_mrr,
    sum(mrr) as native_mrr,
    min(currency) as currency,
    count(distinct currency) = 1 as is_one_currency,
    case when is_one_currency then min(constant_rate) filter (is_rate_known) else 1 end::decimal(18, 10) as rate,
    count(distinct subscription_id) as live_subscriptions,
    coalesce(sum(quantity) filter (not is_add_on), sum(quantity)) as seats,
    arg_max(plan_tier, (mrr_constant, subscription_item_id)) filter (not is_add_on) as plan_tier,
    arg_max(interval_months, (mrr_constant, subscription_item_id)) as interval_months,
    min(committed_until) as term_end,
    bool_or(term_end > as_of) as has_term,
    min(notice_by_on) filter (term_end > as_of) as notice_by_on,
    min(decision_on) as decision_on,
    bool_and(auto_renew) filter (term_end > as_of) as auto_renew,
    -- months are of equal length: a year of MRR is twelve of it
    coalesce(sum(mrr_constant::decimal(38, 6) * committed_days), 0) * 12 as committed_mrr_days,
    coalesce(sum(mrr::decimal(38, 6) * committed_days), 0) * 12 as native_committed_mrr_days,
    count(*) = count(leaves_on) as has_notice,
    bool_or(is_end_hidden) as is_end_hidden,
    bool_or(ends_in_90) as ends_in_90,
    bool_or(known_day_assumed) as known_day_assumed
  from paying
  group by as_of, customer_id
),
before as (
  select
    as_of,
    customer_id,
    sum(mrr_constant) filter (days_back = 90) as mrr_90,
    sum(mrr_constant) filter (days_back = 365) as mrr_365,
    coalesce(sum(quantity) filter (days_back = 90 and not is_add_on), sum(quantity) filter (days_back = 90)) as seats_90
  from items
  where days_back > 0 and mrr > 0
  group by as_of, customer_id
),
prices as (
  select
    now.as_of,
    now.customer_id,
    earlier.days_back,
    ln(
      sum(now.list_constant)::double
      / list_aggregate(
        list(
          earlier.list_constant::double * now.quantity::double / earlier.quantity::double
          order by now.subscription_item_id
        ), 'sum')
    ) as price_rise
  from paying as now
  join items as earlier
    on earlier.as_of = now.as_of
    and earlier.subscription_item_id = now.subscription_item_id
    and earlier.plan_id = now.plan_id
    and earlier.currency = now.currency
  where earlier.days_back > 0 and earlier.list_mrr > 0 and earlier.quantity > 0 and now.quantity > 0
  group by now.as_of, now.customer_id, earlier.days_back
),
owed as (
  select unpaid.as_of, unpaid.customer_id, sum((unpaid.unpaid_minor::decimal(20, 0) * rates.constant_rate)::decimal(38, 10)) as unpaid
  from (
    select as_of, customer_id, unnest(unpaid).currency as currency, unnest(unpaid).unpaid_minor as unpaid_minor
    from {{ ref('int_account_payments') }}
  ) as unpaid
  join (select distinct as_of, currency, constant_rate from paying) as rates using (as_of, currency)
  group by unpaid.as_of, unpaid.customer_id
),
-- what was ordered, in the account's currency; null where a rate is missing that it takes
bought as (
  select
    sums.as_of,
    sums.customer_id,
    sums.days_back,
    case
      when bool_and(sums.is_own or sums.amount_minor = 0 or coalesce(sums.rate, 0) * coalesce(sums.account_rate, 0) > 0)
        then round(
          coalesce(sum(sums.amount_minor) filter (sums.is_own), 0)::double
          + coalesce(
            sum((sums.amount_minor::decimal(20, 0) * sums.rate)::decimal(38, 10)) filter (not sums.is_own), 0
          )::double / coalesce(any_value(sums.account_rate), 1)::double
        )
    end as amount
  from (
    select
      listed.*,
      accounts.rate as account_rate,
      listed.currency is not distinct from
        case when accounts.is_one_currency then accounts.currency else policy.reporting_currency end as is_own
    from accounts
    cross join policy
    join (
      select as_of, customer_id, unnest(amounts, recursive := true)
      from {{ ref('int_account_orders') }}
    ) as listed using (as_of, customer_id)
  ) as sums
  group by sums.as_of, sums.customer_id, sums.days_back
),
countries as (
  select
    accounts.as_of,
    customers.country,
    count(*) as customers,
    sum(count(*)) over (partition by accounts.as_of) as all_customers
  from accounts
  join {{ ref('int_account_customers') }} as customers
    on customers.as_of = accounts.as_of and customers.billed_customer_id = accounts.customer_id
  group by accounts.as_of, customers.country
),
told as (
  select
    accounts.*,
    changes.* exclude (as_of, customer_id),
    accounts.as_of - changes.paying_since_on as tenure_days
  from accounts
  join {{ ref('int_account_changes') }} as changes using (as_of, customer_id)
)
select
  told.customer_id,
  told.as_of,
  not told.has_notice as is_at_risk,
  told.has_notice,
  round(case when told.is_one_currency then told.native_mrr else told.mrr end, 0)::bigint as mrr_minor,
  case when told.is_one_currency then told.currency else policy.reporting_currency end as currency,
  coalesce(customers.segment, 'unknown') as segment,
  case
    when customers.country is null then 'unknown'
    when 50 * countries.customers >= countries.all_customers then customers.country
    else 'other'
  end as country_group,
  coalesce(customers.acquisition_channel, 'unknown') as acquisition_channel,
  case when told.term_end is null then 'monthly' else 'term' end as commitment_class,
  told.decision_on,
  round(
    case when told.is_one_currency then told.native_committed_mrr_days else told.committed_mrr_days end::double / 365
  )::bigint as committed_365_minor,
  usage.customer_id is null as no_usage_feed,
  coalesce(support.has_account, false) is false as no_crm_account,
  told.known_day_assumed,
  -- commitment
  told.tenure_days::double as tenure_days,
  told.interval_months,
  (told.term_end - told.as_of)::double / 30.4375 as months_to_term_end,
  (told.notice_by_on - told.as_of)::double as days_to_notice,
  told.auto_renew::integer::double as auto_renew,
  case when told.has_term then told.renewals_so_far end::double as renewals_so_far,
  (10000 * (told.list_mrr - told.mrr))::double / told.list_mrr::double as discount_bp,
  case when told.ends_in_90 then 1 when not told.is_end_hidden then 0 end::double as discount_ends_90,
  case when told.tenure_days >= 90 then prices_90.price_rise end as price_rise_90,
  -- who is bound for longer can't answer a rise by leaving
  case
    when told.tenure_days >= 90
      then case when told.decision_on > told.as_of + 90 then 0 * prices_90.price_rise else prices_90.price_rise end
  end as price_rise_open,
  case when told.tenure_days >= 365 then prices_365.price_rise end as price_rise_365,
  coalesce(told.plan_tier, 'none') as plan_tier,
  told.live_subscriptions::double as live_subscriptions,
  -- money
  ln(told.mrr::double) as mrr,
  case when told.tenure_days >= 90 then ln(told.mrr::double / before.mrr_90::double) end as mrr_change_90,
  case when told.tenure_days >= 365 then ln(told.mrr::double / before.mrr_365::double) end as mrr_change_365,
  case when told.tenure_days >= 365 then told.upgrades_365 end::double as upgrades_365,
  case when told.tenure_days >= 365 then told.downgrades_365 end::double as downgrades_365,
  told.seats::double as seats,
  case
    when told.tenure_days >= 90 and told.seats > 0 and before.seats_90 > 0
      then ln(told.seats::double / before.seats_90::double)
  end as seats_change_90,
  told.add_on_mrr::double / told.mrr::double as add_on_share,
  case when told.tenure_days >= 90 then payments.overage_share end as overage_share,
  told.last_change_was_down::integer::double as last_change_was_down,
  -- payments
  payments.failed_payments_90::double as failed_payments_90,
  payments.days_since_failed_payment::double as days_since_failed_payment,
  payments.declined_in_a_row::double as declined_in_a_row,
  payments.open_dunning_attempts::double as open_dunning_attempts,
  payments.days_overdue_max::double as days_overdue_max,
  case when payments.customer_id is not null then coalesce(owed.unpaid, 0)::double / told.mrr::double end
    as unpaid_over_mrr,
  payments.days_to_card_expiry::double as days_to_card_expiry,
  payments.payment_method,
  payments.late_share_365,
  payments.disputes_365::double as disputes_365,
  -- usage
  usage.active_users_28::double as active_users_28,
  usage.active_users_28::double / nullif(told.seats, 0)::double as seat_use,
  case when told.tenure_days >= 56 then usage.usage_trend end as usage_trend,
  -- beside the other customers of the day: that takes the season out
  case
    when told.tenure_days >= 180
      then usage.usage_to_usual_365
        - median(usage.usage_to_usual_365) filter (told.tenure_days >= 180) over (partition by told.as_of)
  end as usage_to_usual_365,
  case
    when told.tenure_days >= 180
      then usage.usage_to_peak_730
        - median(usage.usage_to_peak_730) filter (told.tenure_days >= 180) over (partition by told.as_of)
  end as usage_to_peak_730,
  case
    when told.tenure_days >= 180
      then usage.usage_28_to_peak
        - median(usage.usage_28_to_peak) filter (told.tenure_days >= 180) over (partition by told.as_of)
  end as usage_28_to_peak,
  usage.active_days_28::double as active_days_28,
  usage.feature_breadth_28::double as feature_breadth_28,
  usage.days_since_use::double as days_since_use,
  support.admin_last_seen_days::double as admin_last_seen_days,
  -- support and CRM
  support.tickets_90::double as tickets_90,
  case
    when told.tenure_days >= 180
      then ln(
        (support.tickets_90 + 0.5)::double
        / (support.tickets_91_360 * 90 / (least(told.tenure_days, 360) - 90) + 0.5)::double
      )
  end as tickets_change_90,
  support.open_urgent::double as open_urgent,
  support.complaints_180::double / told.live_subscriptions::double as complaints_180,
  support.complaints_90::double / told.live_subscriptions::double as complaints_90,
  support.days_since_complaint::double as days_since_complaint,
  support.first_response_h_90::double as first_response_h_90,
  support.csat_last::double as csat_last,
  support.csat_age_days::double as csat_age_days,
  support.nps_last::double as nps_last,
  support.nps_age_days::double as nps_age_days,
  support.champion_left_180::integer::double as champion_left_180,
  support.days_since_contact::double as days_since_contact,
  case
    when support.has_account and told.tenure_days >= 30
      then coalesce(support.onboarded_on < told.paying_since_on + 30, false)
  end::integer::double as onboarded_30,
  -- orders beside the subscription
  orders.days_since_order::double as days_since_order,
  orders.orders_30::double as orders_30,
  orders.orders_90::double as orders_90,
  orders.orders_180::double as orders_180,
  orders.orders_365::double as orders_365,
  case
    when orders.customer_id is null then null
    when bought_90.customer_id is null then 0
    else bought_90.amount
  end::double as amount_90,
  case
    when orders.orders_365 is null then null
    when bought_365.customer_id is null then 0
    else bought_365.amount
  end::double as amount_365,
  orders.order_trend,
  orders.gap_mean,
  orders.gap_sd,
  orders.recency_over_gap,
  orders.skus_180::double as skus_180,
  orders.credit_share_180,
  orders.orders_same_season::double as orders_same_season,
  orders.breadth_change,
  -- context
  month(told.as_of)::double as month_of_year
from told
cross join policy
left join before using (as_of, customer_id)
left join prices as prices_90
  on prices_90.as_of = told.as_of and prices_90.customer_id = told.customer_id and prices_90.days_back = 90
left join prices as prices_365
  on prices_365.as_of = told.as_of and prices_365.customer_id = told.customer_id and prices_365.days_back = 365
left join {{ ref('int_account_customers') }} as customers
  on customers.as_of = told.as_of and customers.billed_customer_id = told.customer_id
left join countries on countries.as_of = told.as_of and countries.country is not distinct from customers.country
left join {{ ref('int_account_payments') }} as payments
  on payments.as_of = told.as_of and payments.customer_id = told.customer_id
left join owed on owed.as_of = told.as_of and owed.customer_id = told.customer_id
left join {{ ref('int_account_usage') }} as usage
  on usage.as_of = told.as_of and usage.customer_id = told.customer_id
left join {{ ref('int_account_support') }} as support
  on support.as_of = told.as_of and support.customer_id = told.customer_id
left join {{ ref('int_account_orders') }} as orders
  on orders.as_of = told.as_of and orders.customer_id = told.customer_id
left join bought as bought_90
  on bought_90.as_of = told.as_of and bought_90.customer_id = told.customer_id and bought_90.days_back = 90
left join bought as bought_365
  on bought_365.as_of = told.as_of and bought_365.customer_id = told.customer_id and bought_365.days_back = 365
