-- Kaplan-Meier by months since the first paying month. A life ends with the first closed month in which a customer pays
-- nothing; a later return opens no second life. Open lives are censored at the last closed month, merged and migrated
-- ones at the last month they paid in.
with span as (
  select min(month) as first_month, max(month) filter (not is_provisional) as last_month
  from {{ ref('int_months') }}
),
changes as (
  select
    customer_id,
    month,
    sum((closing_mrr > 0)::integer - (opening_mrr > 0)::integer) as paying_change,
    min({'currency': currency, 'segment': segment}) filter (closing_mrr > 0) as cell,
    coalesce(bool_or(cause in ('merge', 'migration')), false) as is_moved
  from {{ ref('fct_customer_month_changes') }}
  cross join span
  where month <= span.last_month
  group by customer_id, month
),
balances as (
  select *, sum(paying_change) over (partition by customer_id order by month) > 0 as is_paying from changes
),
starts as (
  select customer_id, min(month) as from_month, arg_min(cell.segment, month) as segment
  from balances
  where is_paying
  group by customer_id
),
ends as (
  select balances.customer_id, min(balances.month) as end_month, arg_min(balances.is_moved, balances.month) as is_moved
  from balances
  join starts on starts.customer_id = balances.customer_id and starts.from_month < balances.month
  where not balances.is_paying
  group by balances.customer_id
),
-- paying when the data begin and created earlier: seen from that tenure on only
created as (
  select customer_id, min(created_on) as created_on from {{ ref('int_customer_attributes') }} group by customer_id
),
entries as (
  select
    starts.*,
    case
      when starts.from_month = span.first_month and created.created_on < span.first_month
        then {{ months_between('created.created_on', 'starts.from_month') }}
      else 0
    end as entry_tenure
  from starts
  cross join span
  left join created using (customer_id)
),
lives as (
  select
    unnest(['all', entries.segment]) as segment,
    entries.entry_tenure,
    entries.entry_tenure
      + {{ months_between('entries.from_month', 'coalesce(ends.end_month, span.last_month)') }}
      - (ends.end_month is not null and ends.is_moved)::integer as last_tenure,
    ends.end_month is not null and not ends.is_moved as is_ended
  from entries
  cross join span
  left join ends using (customer_id)
),
-- at risk in each tenure after the entry up to the last one
edges as (
  select
    segment,
    unnest([entry_tenure + 1, last_tenure + 1, last_tenure]) as tenure_months,
    unnest([1, -1, 0]) as at_risk_change,
    unnest([0, 0, is_ended::integer]) as ended
  from lives
  union all
  select segment, 0 as tenure_months, (entry_tenure = 0)::integer as at_risk_change, 0 as ended from lives
  union all
  select segment, 1 as tenure_months, -(entry_tenure = 0)::integer as at_risk_change, 0 as ended from lives
),
tenures as (
  select segment, unnest(range(0, max(last_tenure) + 1))::integer as tenure_months from lives group by segment
),
counted as (
  select
    tenures.segment,
    tenures.tenure_months,
    (sum(coalesce(sum(edges.at_risk_change), 0)) over by_tenure)::bigint as at_risk,
    coalesce(sum(edges.ended), 0)::bigint as ended
  from tenures
  left join edges using (segment, tenure_months)
  group by tenures.segment, tenures.tenure_months
  window by_tenure as (partition by tenures.segment order by tenures.tenure_months)
),
-- one factor after the other: a window's own product may join them in another order, and rise by a rounding
curves as (
  select
    segment,
    tenure_months,
    at_risk,
    ended,
    list_reduce(
      list(case when at_risk > 0 then (at_risk - ended)::double / at_risk::double else 1 end) over by_tenure,
      lambda survived, share: survived * share
    ) as survival,
    list_sum(
      list(case when at_risk > ended then ended::double / (at_risk::double * (at_risk - ended)::double) else 0 end)
        over by_tenure
    ) as variance_sum
  from counted
  window by_tenure as (partition by segment order by tenure_months rows between unbounded preceding and current row)
)
select
  segment,
  tenure_months,
  at_risk,
  ended,
  survival,
  case when survival > 0 then survival * sqrt(variance_sum) end as standard_error,
  -- on the log of minus the log, so that the interval stays within 0 and 1
  case
    when survival = 1 then 1
    when survival > 0 then survival ** exp(-{{ z_95() }} * sqrt(variance_sum) / ln(survival))
  end as survival_low,
  case
    when survival = 1 then 1
    when survival > 0 then survival ** exp({{ z_95() }} * sqrt(variance_sum) / ln(survival))
  end as survival_high
from curves
