-- One row per account and version of its attributes.
with known as (
  {{ latest_known(source('raw_crm', 'accounts'), ['account_id', 'valid_from']) }}
)
select
  account_id,
  customer_id,
  name,
  owner,
  csm,
  stage,
  segment,
  acquisition_channel,
  valid_from,
  valid_to,
  recorded_at,
  source_system
from known
