-- One row per month, currency and segment ('all' = every segment): what the unit economics are made from. A quarter is the
-- three months that end with the row's month. Costs are known by channel, so only for all segments together.
with policy as (
  select reporting_currency, constant_rate_set, logo_denominator, cac_lag_quarters from {{ ref('stg_meta__policy') }}
),
segment_months as (
  select
    month,
    amount_currency as currency,
    segment,
    sum(closing_mrr) as closing_mrr,
    sum(new_mrr) as new_mrr,
    sum(closing_customers) as closing_customers,
    sum(new_customers) as new_customers,
    sum(reactivated_customers) as reactivated_customers,
    sum(joined_and_left_customers) as joined_and_left_customers,
    bool_or(is_provisional) as is_provisional
  from {{ ref('fct_mrr_months') }}
  group by month, amount_currency, segment
),
with_margins as (
  select segment_months.*, coalesce(own.margin_bp, common.margin_bp) as margin_bp
  from segment_months
  left join {{ ref('stg_crm__gross_margins') }} as own
    on own.month = segment_months.month
    and own.segment = segment_months.segment
  left join {{ ref('stg_crm__gross_margins') }} as common
    on common.month = segment_months.month
    and common.segment = 'all'
),
bridge as (
  select
    month,
    currency,
    coalesce(segment, 'all') as segment,
    bool_or(is_provisional) as is_provisional,
    sum(closing_mrr) as closing_mrr,
    sum(new_mrr) as new_mrr,
    -- unknown as soon as one segment with MRR has no margin
    case
      when count(*) filter (where closing_mrr <> 0 and margin_bp is null) = 0
        then sum(closing_mrr * coalesce(margin_bp, 0) * 0.0001::decimal(4, 4))
    end as margin_mrr,
    case when count(margin_bp) = count(*) and min(margin_bp) = max(margin_bp) then min(margin_bp) end as shared_margin_bp,
    {% for part in ['closing', 'new', 'reactivated', 'joined_and_left'] -%}
    sum({{ part }}_customers) as {{ part }}_customers{{ ',' if not loop.last }}
    {% endfor %}
  from with_margins
  group by grouping sets ((month, currency), (month, currency, segment))
),
retention as (
  select
    month,
    currency,
    coalesce(segment, 'all') as segment,
    sum(lost_customers) as lost_customers,
    sum(start_customers) as start_customers
  from {{ ref('fct_retention') }}
  where window_months = 1
  group by grouping sets ((month, currency), (month, currency, segment))
),
constant_rates as (
  select from_currency as currency, arg_max(rate, rate_on) as rate
  from {{ ref('stg_billing__fx_rates') }}
  join policy on to_currency = reporting_currency and rate_set = constant_rate_set
  where from_currency <> reporting_currency
  group by from_currency
),
-- like MRR, a cost in a currency without a rate stays in its own
month_costs as (
  select
    costs.month,
    case when constant_rates.rate is null then costs.currency else policy.reporting_currency end as currency,
    sum(costs.amount_minor * coalesce(constant_rates.rate, 1)::decimal(18, 10)) as cost
  from {{ ref('stg_crm__sales_marketing_costs') }} as costs
  cross join policy
  left join constant_rates using (currency)
  group by all
),
-- a quarter of which a month has no cost is unknown, not cheap
quarter_costs as (
  select bridge.month, bridge.currency, bridge.segment, sum(month_costs.cost) as sm_cost
  from bridge
  cross join policy
  join month_costs
    on month_costs.currency = bridge.currency
    and month_costs.month > {{ add_months('bridge.month', '-3 - 3 * policy.cac_lag_quarters') }}
    and month_costs.month <= {{ add_months('bridge.month', '-3 * policy.cac_lag_quarters') }}
  where bridge.segment = 'all'
  group by bridge.month, bridge.currency, bridge.segment
  having count(*) = 3
)
select
  bridge.month,
  bridge.currency,
  bridge.segment,
  bridge.is_provisional,
  bridge.closing_mrr::decimal(38, 16) as closing_mrr,
  bridge.closing_customers::bigint as closing_customers,
  bridge.margin_mrr::decimal(38, 16) as margin_mrr,
  -- the margin where no MRR can weight those of the segments
  bridge.shared_margin_bp::integer as shared_margin_bp,
  (
    coalesce(retention.lost_customers, 0)
    + case policy.logo_denominator when 'start_only_matched' then 0 else bridge.joined_and_left_customers end
  )::decimal(38, 16) as logo_lost,
  (
    coalesce(retention.start_customers, 0)
    + case policy.logo_denominator
      when 'start_plus_new' then bridge.new_customers + bridge.reactivated_customers + bridge.joined_and_left_customers
      else 0
    end
  )::decimal(38, 16) as logo_base,
  quarter_costs.sm_cost::decimal(38, 16) as sm_cost,
  (sum(bridge.new_customers) over quarter)::bigint as new_customers,
  (sum(bridge.new_mrr) over quarter)::decimal(38, 16) as new_mrr
from bridge
cross join policy
left join retention using (month, currency, segment)
left join quarter_costs using (month, currency, segment)
window quarter as (
  partition by bridge.currency, bridge.segment order by bridge.month rows between 2 preceding and current row
)
