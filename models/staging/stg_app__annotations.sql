-- One row per note on a date that was ever written.
with known as (
  {{ latest_known(source('raw_app', 'annotations'), ['annotation_id']) }}
)
select
  annotation_id,
  happened_on,
  words,
  author_name,
  deleted_at,
  deleted_by,
  recorded_by,
  recorded_at
from known
