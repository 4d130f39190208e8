-- One row per paying customer and stretch of days with a live subscription (paused and free ones live): when the last one
-- ended and why, as known at the build. A return within 30 days is no end, and neither is a merge or a migration: from
-- then on the customer is no longer watched. Outcomes are never features.
with build as (
  select as_of from {{ ref('stg_meta__build') }}
),
stretches as (
  select
    * exclude (valid_to),
    coalesce(valid_to, date '9999-12-31') as valid_to,
    coalesce(why_not, 'none') not in ('canceled', 'past_due', 'unpaid', 'incomplete', 'one_time') as is_live
  from {{ ref('int_item_versions') }}
),
marked as (
  select
    stretches.*,
    valid_from > max(valid_to) over (
      partition by customer_id order by valid_from, valid_to rows between unbounded preceding and 1 preceding
    ) as is_return
  from stretches
  cross join build
  where is_live and valid_from <= build.as_of
),
numbered as (
  select *, count(*) filter (is_return) over (partition by customer_id order by valid_from, valid_to) as spell_no
  from marked
),
spells as (
  select customer_id, spell_no, min(valid_from) as live_from, max(valid_to) as live_to
  from numbered
  group by customer_id, spell_no
),
-- the day an end was recorded: of a history its own day (see int_account_versions)
recorded_ends as (
  select subscription_item_id, valid_to as ended_on, min(case when is_history then valid_to else known_from end) as recorded_on
  from {{ ref('stg_billing__subscription_versions_known') }}
  where not is_deleted and status <> 'canceled'
  group by subscription_item_id, valid_to
),
-- the largest of the items that end last says why
causes as (
  select
    ends.customer_id,
    ends.spell_no,
    bool_or(later.customer_id <> ends.customer_id or ends.cause in ('merge', 'migration')) as is_moved,
    arg_max(ends.cause, (ends.net_mrr, ends.subscription_item_id)) as cause,
    max(ends.recorded_on) as recorded_on
  from (
    select
      numbered.customer_id,
      numbered.spell_no,
      numbered.subscription_item_id,
      numbered.billed_customer_id,
      numbered.valid_to,
      numbered.net_mrr,
      case
        when late.why_not = 'past_due' then 'involuntary'
        else coalesce(late.end_cause, numbered.end_cause, 'voluntary')
      end as cause,
      case
        when late.why_not = 'past_due' then numbered.valid_to
        else coalesce(recorded_ends.recorded_on, numbered.valid_to)
      end as recorded_on
    from numbered
    join spells
      on spells.customer_id = numbered.customer_id
      and spells.spell_no = numbered.spell_no
      and spells.live_to = numbered.valid_to
    left join stretches as late
      on late.subscription_item_id = numbered.subscription_item_id
      and late.valid_from = numbered.valid_to
      and not late.is_live
    left join recorded_ends
      on recorded_ends.subscription_item_id = numbered.subscription_item_id
      and recorded_ends.ended_on = numbered.valid_to
  ) as ends
  left join stretches as later
    on later.subscription_item_id = ends.subscription_item_id
    and later.valid_from = ends.valid_to
    and later.is_live
  group by ends.customer_id, ends.spell_no
),
followed as (
  select
    spells.*,
    lead(spells.live_from) over by_day as returned_on,
    coalesce(lead(spells.live_from) over by_day - spells.live_to <= 30, false) as is_back_within_30,
    causes.is_moved,
    causes.cause,
    causes.recorded_on
  from spells
  left join causes using (customer_id, spell_no)
  window by_day as (partition by spells.customer_id order by spells.spell_no)
),
-- of the spells that follow one another within 30 days the last one ends the customer
grouped as (
  select
    *,
    count(*) filter (not is_back_within_30) over (
      partition by customer_id order by spell_no desc
    ) as group_no
  from followed
),
ends as (
  select
    customer_id,
    group_no,
    max(live_to) as live_to,
    arg_max(is_moved, spell_no) as is_moved,
    arg_max(cause, spell_no) as cause,
    arg_max(recorded_on, spell_no) as recorded_on
  from grouped
  group by customer_id, group_no
)
select
  grouped.customer_id,
  grouped.live_from,
  grouped.live_to,
  grouped.is_back_within_30 as returned_within_30,
  case when ends.live_to <= build.as_of and not coalesce(ends.is_moved, false) then ends.live_to end as ended_on,
  case when ends.live_to <= build.as_of and not coalesce(ends.is_moved, false) then
    case when ends.cause = 'involuntary' then 'involuntary' else 'voluntary' end
  end as ended_cause,
  case when ends.live_to <= build.as_of and not coalesce(ends.is_moved, false) then ends.recorded_on end
    as ended_recorded_on,
  case when ends.is_moved and ends.live_to <= build.as_of then ends.live_to else build.as_of end as observed_until
from grouped
join ends using (customer_id, group_no)
cross join build
