-- Nothing in the order marts lies after the as-of day, and no label is filled before its window has closed.
select 'order' as what, orders.ordered_on as found_on
from {{ ref('fct_orders') }} as orders
join {{ ref('stg_meta__build') }} as build on orders.ordered_on > build.as_of
union all
select 'month', months.order_month
from {{ ref('fct_repeat_months') }} as months
join {{ ref('stg_meta__build') }} as build on months.order_month > build.as_of
union all
select 'label', snapshots.as_of
from {{ ref('fct_customer_snapshots') }} as snapshots
join {{ ref('stg_meta__build') }} as build on true
where snapshots.churned_90 is not null and snapshots.as_of + 90 > build.as_of
