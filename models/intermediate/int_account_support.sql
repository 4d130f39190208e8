-- One row per as-of day and paying customer that support or the CRM knows by then: tickets, answers, contacts, as known on
-- that day. A field of a ticket that is filled in later counts from its own day.
with days as (
  select as_of from {{ ref('int_account_days') }}
),
customers as (
  select as_of, billed_customer_id, customer_id, has_account from {{ ref('int_account_customers') }}
),
-- the days from which there are tickets at all: before, nobody has none
sources as (
  select min(greatest(opened_on, known_from)) as tickets_from
  from {{ ref('stg_crm__tickets_known') }}
  where opened_on is not null
),
-- the days from which complaints are recorded at all
complaints as (
  select min(greatest(happened_on, known_from)) as complaints_from
  from {{ ref('stg_crm__activities_known') }}
  where happened_on is not null and ends_with(kind, 'complaint')
),
-- whose an account is, by what was first known of it
owners as (
  select
    account_id,
    arg_min(customer_id, (recorded_at, valid_from)) as customer_id,
    min(greatest(valid_from, known_from)) as seen_on
  from {{ ref('stg_crm__accounts_known') }}
  where customer_id is not null
  group by account_id
),
joined as (
  select as_of, customer_id, bool_or(has_account) as has_account
  from customers
  group by as_of, customer_id
),
tickets as (
  select
    customers.as_of,
    customers.customer_id,
    count(*) filter (customers.as_of - known.opened_on < 90) as tickets_90,
    count(*) filter (customers.as_of - known.opened_on between 90 and 359) as tickets_91_360,
    count(*) filter (known.priority = 'urgent' and known.open_until > customers.as_of) as open_urgent,
    bool_or(known.open_until > customers.as_of and known.priority_known_from > customers.as_of) as is_priority_unknown,
    median(epoch(known.first_response_at - known.opened_at) / 3600.0) filter (
      customers.as_of - known.opened_on < 90 and known.first_response_on <= customers.as_of
    ) as first_response_h_90,
    arg_max(known.csat, (known.closed_on, known.ticket_id)) filter (
      known.csat is not null and known.closed_on <= customers.as_of
    ) as csat_last,
    max(known.closed_on) filter (known.csat is not null and known.closed_on <= customers.as_of) as csat_on
  from days
  join (select *, coalesce(closed_on, date '9999-12-31') as open_until from {{ ref('stg_crm__tickets_known') }}) as known
    on known.opened_on <= days.as_of and known.known_from <= days.as_of and known.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = known.customer_id
  group by customers.as_of, customers.customer_id
),
answers as (
  select
    customers.as_of,
    customers.customer_id,
    arg_max(known.score, (known.answered_on, known.response_id)) as nps_last,
    max(known.answered_on) as nps_on
  from days
  join {{ ref('stg_crm__nps_known') }} as known
    on known.answered_on <= days.as_of and known.known_from <= days.as_of and known.known_until > days.as_of
  join customers
    on customers.as_of = days.as_of and customers.billed_customer_id = known.customer_id
  group by customers.as_of, customers.customer_id
),
activities as (
  select
    customers.as_of,
    customers.customer_id,
    max(known.happened_on) filter (known.kind in ('call', 'email', 'meeting', 'onboarding')) as contacted_on,
    max(known.happened_on) filter (known.kind = 'admin_login') as admin_seen_on,
    count(*) filter (ends_with(known.kind, 'complaint') and customers.as_of - known.happened_on < 180) as complaints_180,
    count(*) filter (ends_with(known.kind, 'complaint') and customers.as_of - known.happened_on < 90) as complaints_90,
    max(known.happened_on) filter (ends_with(known.kind, 'complaint')) as complained_on,
    min(known.happened_on) filter (known.kind = 'onboarding') as onboarded_on
  from days
  join {{ ref('stg_crm__activities_known') }} as known
    on known.happened_on <= days.as_of and known.known_from <= days.as_of and known.known_until > days.as_of
  join owners using (account_id)
  join customers
    on customers.as_of = days.as_of
    and customers.billed_customer_id = owners.customer_id
    and owners.seen_on <= days.as_of
  group by customers.as_of, customers.customer_id
),
champions as (
  select
    customers.as_of,
    customers.customer_id,
    bool_or(coalesce(days.as_of - known.left_on between 0 and 179, false)) as champion_left_180
  from days
  join {{ ref('stg_crm__contacts_known') }} as known
    on known.known_from <= days.as_of and known.known_until > days.as_of
  join owners using (account_id)
  join customers
    on customers.as_of = days.as_of
    and customers.billed_customer_id = owners.customer_id
    and owners.seen_on <= days.as_of
  where known.is_champion
  group by customers.as_of, customers.customer_id
)
select
  joined.as_of,
  joined.customer_id,
  joined.has_account,
  case when sources.tickets_from <= joined.as_of then coalesce(tickets.tickets_90, 0) end as tickets_90,
  case when sources.tickets_from <= joined.as_of - 180 then coalesce(tickets.tickets_91_360, 0) end as tickets_91_360,
  case
    when sources.tickets_from <= joined.as_of and tickets.is_priority_unknown is not true
      then coalesce(tickets.open_urgent, 0)
  end as open_urgent,
  tickets.first_response_h_90,
  case
    when joined.has_account and complaints.complaints_from <= joined.as_of then coalesce(activities.complaints_180, 0)
  end as complaints_180,
  case
    when joined.has_account and complaints.complaints_from <= joined.as_of then coalesce(activities.complaints_90, 0)
  end as complaints_90,
  case when joined.as_of - activities.complained_on < 180 then joined.as_of - activities.complained_on end
    as days_since_complaint,
  tickets.csat_last,
  joined.as_of - tickets.csat_on as csat_age_days,
  answers.nps_last,
  joined.as_of - answers.nps_on as nps_age_days,
  champions.champion_left_180,
  joined.as_of - activities.contacted_on as days_since_contact,
  joined.as_of - activities.admin_seen_on as admin_last_seen_days,
  activities.onboarded_on
from joined
cross join sources
cross join complaints
left join tickets using (as_of, customer_id)
left join answers using (as_of, customer_id)
left join activities using (as_of, customer_id)
left join champions using (as_of, customer_id)
