-- One row per note on a customer, in its last version.
with known as (
  {{ latest_known(source('raw_app', 'customer_notes'), ['note_id', 'version_no']) }}
)
select
  note_id,
  customer_id,
  version_no,
  body,
  is_deleted,
  recorded_by,
  recorded_at
from known
qualify row_number() over (partition by note_id order by version_no desc) = 1
