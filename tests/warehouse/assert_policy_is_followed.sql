-- A policy setting with a value the models do not follow must not pass in silence.
select setting, value
from {{ ref('dim_policy') }}
where not is_supported
