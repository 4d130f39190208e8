-- A policy setting with a value the models do not follow must not pass in silence; and chained retention is shown among the
-- alternatives, never as the figure in force.
select setting, value
from {{ ref('dim_policy') }}
where not is_supported
  or setting = 'retention_window_months' and value = 'chained'
