-- Figures from summed parts; one that cannot be computed is null, and the column beside it says why.
with policy as (
  select ltv_churn_months, min_customers from {{ ref('stg_meta__policy') }}
),
parts as (
  select
    *,
    max(month) filter (where not is_provisional) over (
      partition by currency, segment order by month
    ) as last_closed_month
  from {{ ref('int_unit_economics_parts') }}
),
-- months that nobody opened have no churn and are not in the mean
churn as (
  select
    parts.month,
    parts.currency,
    parts.segment,
    sum((closed.logo_lost / closed.logo_base)::decimal(38, 16)) as churn_sum,
    count(*) as churn_months
  from parts
  cross join policy
  join parts as closed
    on closed.currency = parts.currency
    and closed.segment = parts.segment
    and closed.month > {{ add_months('parts.last_closed_month', '-policy.ltv_churn_months') }}
    and closed.month <= parts.last_closed_month
  where closed.logo_base > 0
  group by parts.month, parts.currency, parts.segment
),
with_churn as (
  select
    parts.* exclude (last_closed_month),
    churn.churn_sum,
    coalesce(churn.churn_months, 0) as churn_months,
    coalesce(parts.margin_mrr / nullif(parts.closing_mrr, 0), parts.shared_margin_bp / 10000) as gross_margin,
    policy.min_customers
  from parts
  cross join policy
  left join churn using (month, currency, segment)
),
reasons as (
  select
    *,
    new_mrr * gross_margin as new_margin_mrr,
    case when closing_customers = 0 then 'no_customers' end as arpa_why_null,
    case when churn_months = 0 then 'no_opening_customers' end as mean_churn_why_null,
    case
      when closing_customers < min_customers then 'too_few_customers'
      when margin_mrr is null then 'no_margin'
      when churn_months = 0 then 'no_opening_customers'
      when churn_sum = 0 then 'no_churn'
    end as ltv_formula_why_null,
    case
      when segment <> 'all' then 'only_all_segments'
      when sm_cost is null then 'no_cost'
      when coalesce(new_customers, 0) = 0 then 'no_new_customers'
    end as cac_why_null,
    case
      when segment <> 'all' then 'only_all_segments'
      when sm_cost is null then 'no_cost'
      when coalesce(new_mrr, 0) = 0 then 'no_new_mrr'
      when gross_margin is null then 'no_margin'
      when gross_margin <= 0 then 'no_gross_profit'
    end as cac_payback_why_null
  from with_churn
),
customer_figures as (
  select
    *,
    case when arpa_why_null is null then closing_mrr / closing_customers end as arpa,
    case when mean_churn_why_null is null then churn_sum / churn_months end as mean_churn,
    case
      when ltv_formula_why_null is null then (margin_mrr * churn_months) / (closing_customers * churn_sum)
    end as ltv_formula,
    case when cac_why_null is null then sm_cost / new_customers end as cac,
    case when cac_payback_why_null is null then sm_cost / new_margin_mrr end as cac_payback,
    coalesce(cac_why_null, ltv_formula_why_null, case when sm_cost = 0 then 'no_cost' end) as ltv_to_cac_why_null
  from reasons
)
select
  month,
  currency,
  segment,
  closing_mrr,
  closing_customers,
  margin_mrr,
  gross_margin::double as gross_margin,
  churn_months::bigint as churn_months,
  coalesce(churn_sum, 0)::decimal(38, 16) as churn_sum,
  sm_cost,
  new_customers,
  new_mrr,
  new_margin_mrr::decimal(38, 16) as new_margin_mrr,
  arpa::double as arpa,
  arpa_why_null,
  mean_churn::double as mean_churn,
  mean_churn_why_null,
  ltv_formula::double as ltv_formula,
  ltv_formula_why_null,
  cac::double as cac,
  cac_why_null,
  case when ltv_to_cac_why_null is null then ltv_formula / cac end::double as ltv_to_cac,
  ltv_to_cac_why_null,
  cac_payback::double as cac_payback,
  cac_payback_why_null,
  is_provisional
from customer_figures
