-- One row per contact of an account.
with known as (
  {{ latest_known(source('raw_crm', 'contacts'), ['contact_id']) }}
)
select
  contact_id,
  account_id,
  role,
  coalesce(is_champion, false) as is_champion,
  left_on,
  recorded_at,
  source_system
from known
