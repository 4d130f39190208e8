-- One row per support ticket, its days in the reporting timezone.
with known as (
  {{ latest_known(source('raw_crm', 'tickets'), ['ticket_id']) }}
)
select
  ticket_id,
  customer_id,
  opened_at,
  (opened_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as opened_on,
  closed_at,
  (closed_at at time zone (select reporting_timezone from {{ ref('stg_meta__policy') }}))::date as closed_on,
  priority,
  first_response_at,
  csat,
  recorded_at,
  source_system
from known
