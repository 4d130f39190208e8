-- One row per contact of an account and stretch of days on which it was known as it stands here.
with known as (
  {{ known_rows(source('raw_crm', 'contacts'), ['contact_id']) }}
)
select
  contact_id,
  account_id,
  coalesce(is_champion, false) as is_champion,
  left_on,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
