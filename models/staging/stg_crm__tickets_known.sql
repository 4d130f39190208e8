-- One row per support ticket and stretch of days on which it was known as it stands here. An imported ticket has the
-- priority it ended with: nobody knows that of the days before the import (priority_known_from).
with known as (
  {{ known_rows(source('raw_crm', 'tickets'), ['ticket_id']) }}
)
select
  ticket_id,
  customer_id,
  opened_at,
  (opened_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as opened_on,
  (closed_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as closed_on,
  priority,
  recorded_on as priority_known_from,
  first_response_at,
  (first_response_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as first_response_on,
  csat,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
