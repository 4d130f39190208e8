-- The registry as loaded from models/metrics.yml.
select
  metric_id,
  label_en,
  label_ar,
  definition_en,
  definition_ar,
  formula,
  unit,
  good_direction,
  owner,
  model,
  numerator,
  denominator,
  settings,
  since_version
from {{ ref('stg_meta__metrics') }}
