-- One row per customer whose own rows came anew, or that a day has passed for on which something of it changes.
select customer_id
from {{ source('raw_meta', 'touched_customers') }}
