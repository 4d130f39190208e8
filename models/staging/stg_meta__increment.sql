-- No row in a full build. In an increment one: the as-of day and month of the build that it adds to.
select since_as_of, date_trunc('month', since_as_of)::date as since_month
from {{ source('raw_meta', 'increment') }}
where is_open
