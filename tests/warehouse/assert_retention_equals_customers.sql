-- In the as-of month and in four months of chance (others in every build) retention over 1 and 12 months is what each
-- customer paid at both ends of the window: frozen at its start, capped customer by customer.
with build as (
  select build_id, as_of_month from {{ ref('stg_meta__build') }}
),
chosen as (
  select month, windows.window_months, (month - to_months(windows.window_months::integer))::date as start_month
  from {{ ref('int_months') }}
  cross join build
  cross join (select unnest([1, 12]) as window_months) as windows
  qualify month = as_of_month or rank() over (order by hash(build_id || month)) <= 8
),
from_customers as (
  select
    chosen.month,
    chosen.window_months,
    starts.currency,
    starts.segment,
    sum(starts.closing_mrr) as start_mrr,
    sum(ends.closing_mrr) as end_mrr,
    sum(least(starts.closing_mrr, ends.closing_mrr)) as kept_mrr,
    -- away in between, and back
    sum(case when date_trunc('month', ends.paying_since_on) > chosen.start_month then ends.closing_mrr else 0 end) as returner_mrr,
    count(*) as start_customers,
    count(*) filter (ends.closing_mrr = 0) as lost_customers,
    count(*) filter (ends.closing_mrr = 0 and ends.cause = 'voluntary') as lost_voluntary,
    count(*) filter (ends.closing_mrr = 0 and ends.cause = 'involuntary') as lost_involuntary
  from chosen
  join {{ ref('fct_customer_month_changes') }} as starts
    on starts.month <= chosen.start_month
    and starts.until_month > chosen.start_month
    and starts.closing_mrr > 0
  join {{ ref('fct_customer_month_changes') }} as ends
    on ends.customer_id = starts.customer_id
    and ends.currency = starts.currency
    and ends.month <= chosen.month
    and ends.until_month > chosen.month
  group by chosen.month, chosen.window_months, starts.currency, starts.segment
),
reported as (
  select retention.*
  from {{ ref('fct_retention') }} as retention
  semi join chosen using (month, window_months)
)
select *
from from_customers
full join reported using (month, window_months, currency, segment)
where from_customers.start_customers is distinct from reported.start_customers
  or from_customers.lost_customers is distinct from reported.lost_customers
  or from_customers.lost_voluntary is distinct from reported.lost_voluntary
  or from_customers.lost_involuntary is distinct from reported.lost_involuntary
  -- the changes of customers stand at the constant rate
  or (select fx_retention from {{ ref('stg_meta__policy') }}) = 'constant'
    and (
      from_customers.start_mrr is distinct from reported.start_mrr
      or from_customers.end_mrr is distinct from reported.end_mrr
      or from_customers.kept_mrr is distinct from reported.kept_mrr
      or from_customers.returner_mrr is distinct from reported.returner_mrr
    )
