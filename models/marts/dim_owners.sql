-- Who looks after customers on the as-of day, and how many.
select owner, count(*)::bigint as customers
from {{ ref('dim_customer_owners') }}
where owner <> ''
group by owner
order by owner
