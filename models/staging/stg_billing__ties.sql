-- Rows that tie customers together, as ever recorded: an item and each customer that had it; a parent with itself and each
-- of its children. Rows that were withdrawn or corrected count: what they tied is rebuilt together.
select 'item' as tie, subscription_item_id as tie_id, customer_id
from {{ source('raw_billing', 'subscription_versions') }}
union all
select 'family' as tie, parent_customer_id as tie_id, customer_id
from {{ source('raw_billing', 'customer_parents') }}
where parent_customer_id is not null
union all
select 'family' as tie, parent_customer_id as tie_id, parent_customer_id as customer_id
from {{ source('raw_billing', 'customer_parents') }}
where parent_customer_id is not null
