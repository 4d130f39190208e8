-- Features as known on the as-of day, beside what happened after it.
with build as (
  select as_of as built_as_of from {{ ref('stg_meta__build') }}
),
features as (
  select * from {{ ref('int_account_features') }}
),
mrr_days as (
  select features.as_of, features.customer_id, days_on.days_on, sum(spells.mrr_constant) as mrr
  from features
  cross join (select unnest([0, 90]) as days_on) as days_on
  join {{ ref('fct_mrr_spells') }} as spells
    on spells.customer_id = features.customer_id
    and spells.valid_from <= features.as_of + days_on.days_on
    and coalesce(spells.valid_to, date '9999-12-31') > features.as_of + days_on.days_on
  group by features.as_of, features.customer_id, days_on.days_on
),
later as (
  select
    as_of,
    customer_id,
    sum(mrr) filter (days_on = 0) as mrr_then,
    sum(mrr) filter (days_on = 90) as mrr_after
  from mrr_days
  group by as_of, customer_id
)
select
  features.*,
  days.is_month_end,
  -- an end that was recorded after the as-of day but took effect before it falls on the day after
  case when outcomes.ended_on is not null then greatest(outcomes.ended_on, features.as_of + 1) end as ended_on,
  outcomes.ended_cause,
  outcomes.ended_recorded_on,
  coalesce(outcomes.returned_within_30, false) and outcomes.ended_on is null as returned_within_30,
  greatest(coalesce(outcomes.observed_until, build.built_as_of), features.as_of) as observed_until,
  case when features.as_of + 90 <= coalesce(outcomes.observed_until, build.built_as_of) and later.mrr_then > 0 then
    greatest(0, 1 - coalesce(later.mrr_after, 0)::double / later.mrr_then::double)
  end::double as mrr_lost_share_90
from features
cross join build
join {{ ref('int_account_days') }} as days on days.as_of = features.as_of
left join later on later.as_of = features.as_of and later.customer_id = features.customer_id
asof left join {{ ref('int_account_outcomes') }} as outcomes
  on outcomes.customer_id = features.customer_id and features.as_of >= outcomes.live_from
