-- The versions of an account follow one another, each at least a day long.
with versions as (
  select account_id, valid_from, valid_to, lead(valid_from) over (partition by account_id order by valid_from) as next_from
  from {{ ref('stg_crm__accounts') }}
)
select account_id, valid_from, valid_to, next_from
from versions
where valid_to <= valid_from or coalesce(valid_to, date '9999-12-31') > next_from
