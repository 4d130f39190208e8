-- The four parts of the trailing year's goods revenue add up to the lines they were made of, exactly.
with parts as (
  select currency, sum(revenue) as revenue, count(*) as part_count, min(total_revenue) as total_revenue
  from {{ ref('fct_revenue_predictability') }}
  group by currency
),
lines as (
  select lines.currency, sum(lines.amount_minor) as revenue
  from {{ ref('fct_order_lines') }} as lines
  join {{ ref('stg_meta__build') }} as build on lines.ordered_on > build.as_of - 365
  where lines.is_goods
  group by lines.currency
)
select currency
from parts
full join lines using (currency)
where
  parts.revenue is distinct from lines.revenue
  or parts.total_revenue is distinct from lines.revenue
  or parts.part_count <> 4
