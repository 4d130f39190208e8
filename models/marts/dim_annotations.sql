-- The notes on dates that stand on the charts: one that was deleted stands on none.
select
  annotation_id,
  happened_on,
  words,
  author_name,
  recorded_by,
  recorded_at
from {{ ref('stg_app__annotations') }}
where deleted_at is null
