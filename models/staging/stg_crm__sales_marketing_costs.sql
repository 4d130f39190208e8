-- One row per month, channel and currency.
with known as (
  {{ latest_known(source('raw_crm', 'sales_marketing_costs'), ['month', 'channel', 'currency']) }}
)
select
  month,
  channel,
  amount_minor,
  currency,
  recorded_at,
  source_system
from known
