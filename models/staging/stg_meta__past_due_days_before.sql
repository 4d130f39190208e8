-- One row per subscription item and stretch of days out of MRR for lateness, as the last build knew them.
select subscription_item_id, valid_from, valid_to
from {{ source('raw_meta', 'past_due_days_before') }}
