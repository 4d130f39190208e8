-- An item whose term was lost didn't serve on the day after it, unless it waited for the renewal.
select renewals.subscription_item_id, renewals.due_on
from {{ ref('fct_renewals') }} as renewals
join {{ ref('stg_billing__subscription_versions') }} as versions
  on versions.subscription_item_id = renewals.subscription_item_id
  and versions.valid_from <= renewals.due_on
  and coalesce(versions.valid_to, date '9999-12-31') > renewals.due_on
where renewals.outcome = 'lost'
  and versions.status not in ('canceled', 'renewal_pending')
