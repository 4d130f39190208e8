-- The cells of a month sum to its customers: balances, movements by category (netted or single events, as the policy
-- says), what moved without being a movement, and heads by category.
with build as (
  select as_of, as_of_month from {{ ref('stg_meta__build') }}
),
policy as (
  select month_netting, second_subscription from {{ ref('stg_meta__policy') }}
),
changes as (
  select * from {{ ref('fct_customer_month_changes') }}
),
closings as (
  select months.month, changes.currency, sum(changes.closing_mrr) as closing_mrr, count(*) as closing_customers
  from {{ ref('int_months') }} as months
  join changes
    on changes.month <= months.month
    and changes.until_month > months.month
    and (changes.closing_mrr > 0 or changes.closing_held)
  group by months.month, changes.currency
),
booked as (
  select month, currency, category, delta_booked, transferred_booked
  from changes
  where (select month_netting from policy) = 'one_category'
  union all
  select
    month, amount_currency as currency,
    case when category in ('left', 'entered') then 'none' else category end as category,
    delta_booked, 0 as transferred_booked
  from {{ ref('fct_mrr_movements') }}
  where measure = 'mrr'
    and movement_on <= (select as_of from build)
    and month <= (select as_of_month from build)
    and (select month_netting from policy) = 'gross_events'
),
movements as (
  select
    month, currency,
    sum(case category when 'new' then delta_booked else 0 end) as new_mrr,
    sum(case category when 'expansion' then delta_booked else 0 end) as expansion_mrr,
    sum(case category when 'contraction' then delta_booked else 0 end) as contraction_mrr,
    sum(case category when 'churn' then delta_booked else 0 end) as churn_mrr,
    sum(case category when 'reactivation' then delta_booked else 0 end) as reactivation_mrr,
    sum(transferred_booked + case category when 'none' then delta_booked else 0 end) as moved_mrr
  from booked
  group by month, currency
),
heads as (
  select
    month, currency,
    count(*) filter (category = 'new' and opening_mrr = 0 and (closing_mrr > 0 or closing_held)) as new_customers,
    count(*) filter (category = 'reactivation' and opening_mrr = 0 and (closing_mrr > 0 or closing_held)) as reactivated_customers,
    count(*) filter (category = 'churn' and (opening_mrr > 0 or opening_held)) as churned_customers,
    count(*) filter (category = 'expansion' and not joined_and_left) as expanded_customers,
    count(*) filter (category = 'contraction' and not joined_and_left) as contracted_customers,
    count(*) filter (joined_and_left) as joined_and_left_customers
  from changes
  group by month, currency
),
customers as (
  select
    month, currency,
    {% for part in ['new', 'expansion', 'contraction', 'churn', 'reactivation', 'moved'] -%}
    coalesce(movements.{{ part }}_mrr, 0) as {{ part }}_mrr,
    {% endfor -%}
    {% for part in ['new', 'reactivated', 'churned', 'expanded', 'contracted', 'joined_and_left'] -%}
    coalesce(heads.{{ part }}_customers, 0) as {{ part }}_customers,
    {% endfor -%}
    coalesce(closings.closing_mrr, 0) as closing_mrr,
    coalesce(closings.closing_customers, 0) as closing_customers
  from movements
  full join heads using (month, currency)
  full join closings using (month, currency)
),
cells as (
  select
    month, amount_currency as currency,
    {% for part in ['new', 'expansion', 'contraction', 'churn', 'reactivation'] -%}
    sum({{ part }}_mrr) as {{ part }}_mrr,
    {% endfor -%}
    sum(entered_mrr + left_mrr) as moved_mrr,
    {% for part in ['new', 'reactivated', 'churned', 'expanded', 'contracted', 'joined_and_left'] -%}
    sum({{ part }}_customers) as {{ part }}_customers,
    {% endfor -%}
    sum(closing_mrr_constant) as closing_mrr,
    sum(closing_customers) as closing_customers
  from {{ ref('fct_mrr_months') }}
  group by month, amount_currency
)
select *
from cells
full join customers using (month, currency)
where coalesce(cells.closing_mrr, 0) <> coalesce(customers.closing_mrr, 0)
  or coalesce(cells.closing_customers, 0) <> coalesce(customers.closing_customers, 0)
  or coalesce(cells.moved_mrr, 0) <> coalesce(customers.moved_mrr, 0)
  or coalesce(cells.new_mrr + cells.expansion_mrr + cells.contraction_mrr + cells.churn_mrr + cells.reactivation_mrr, 0)
    <> coalesce(
      customers.new_mrr + customers.expansion_mrr + customers.contraction_mrr + customers.churn_mrr
      + customers.reactivation_mrr, 0
    )
  -- items judged on their own have other categories than their customer; their sum is the same
  {% for part in ['new', 'expansion', 'contraction', 'churn', 'reactivation'] -%}
  or (select second_subscription from policy) = 'expansion'
    and coalesce(cells.{{ part }}_mrr, 0) <> coalesce(customers.{{ part }}_mrr, 0)
  {% endfor -%}
  {% for part in ['new', 'reactivated', 'churned', 'expanded', 'contracted', 'joined_and_left'] -%}
  or coalesce(cells.{{ part }}_customers, 0) <> coalesce(customers.{{ part }}_customers, 0)
  {% endfor %}
