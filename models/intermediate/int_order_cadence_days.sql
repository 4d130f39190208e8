-- One row per day at which the rhythm of purchases is measured: the as-of day, and the day 180 days before it, the
-- latest one whose outcome windows (at most 180 days) have all closed.
select as_of, true as is_current from {{ ref('stg_meta__build') }}
union all
select as_of - 180, false from {{ ref('stg_meta__build') }}
