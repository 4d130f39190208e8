-- One row per support ticket and stretch of days on which it was known as it stands here.
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
  first_response_at,
  (first_response_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as first_response_on,
  csat,
  recorded_at,
  is_history,
  known_from,
  known_until
from known
