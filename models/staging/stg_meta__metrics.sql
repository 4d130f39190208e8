-- One row per metric of the registry.
select
  metric_id, label_en, label_ar, definition_en, definition_ar, formula, unit, good_direction, owner, model, numerator,
  denominator, settings, since_version
from {{ source('raw_meta', 'metrics') }}
