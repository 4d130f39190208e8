-- Gross profit of a customer times the months it is expected to pay within the horizon: the sum of its survival, whose
-- last part is that of the tenure before the horizon. The interval is that of the sum (Greenwood); revenue per customer
-- and margin are taken as they are.
with horizons as (
  select unnest(string_split(ltv_horizon_months, ','))::integer as horizon_months from {{ ref('stg_meta__policy') }}
),
economics as (
  select month, currency, segment, margin_mrr, closing_customers, arpa_why_null
  from {{ ref('fct_unit_economics') }}
  where not is_provisional
  qualify month = max(month) over ()
),
reaches as (
  select segment, max(tenure_months) filter (where at_risk >= 10) as last_tenure_months
  from {{ ref('fct_survival') }}
  group by segment
),
tenures as (
  select
    horizons.horizon_months,
    curves.*,
    sum(curves.survival) over (
      partition by horizons.horizon_months, curves.segment order by curves.tenure_months desc
    ) as months_from_here
  from horizons
  join {{ ref('fct_survival') }} as curves on curves.tenure_months < horizons.horizon_months
),
sums as (
  select
    horizon_months,
    segment,
    sum(survival) as survival_months,
    sqrt(sum(
      case
        when ended < at_risk
          then months_from_here * months_from_here * ended::double / (at_risk::double * (at_risk - ended)::double)
        else 0
      end)) as standard_error
  from tenures
  group by horizon_months, segment
),
reasons as (
  select
    economics.*,
    horizons.horizon_months,
    reaches.last_tenure_months,
    case
      when economics.arpa_why_null is not null then economics.arpa_why_null
      when economics.margin_mrr is null then 'no_margin'
      when coalesce(horizons.horizon_months - 1 > reaches.last_tenure_months, true) then 'history_too_short'
    end as why_null
  from economics
  cross join horizons
  left join reaches using (segment)
),
figures as (
  select
    reasons.*,
    sums.survival_months,
    sums.standard_error,
    reasons.margin_mrr::double / nullif(reasons.closing_customers, 0)::double as margin_per_customer
  from reasons
  left join sums using (segment, horizon_months)
)
select
  currency,
  segment,
  horizon_months,
  month,
  margin_mrr::decimal(38, 16) as margin_mrr,
  closing_customers::bigint as closing_customers,
  last_tenure_months,
  case when why_null is null then survival_months end as survival_months,
  case when why_null is null then standard_error end as standard_error,
  case when why_null is null then margin_per_customer * survival_months end as ltv,
  case when why_null is null then margin_per_customer * (survival_months - {{ z_95() }} * standard_error) end as ltv_low,
  case when why_null is null then margin_per_customer * (survival_months + {{ z_95() }} * standard_error) end as ltv_high,
  why_null
from figures
