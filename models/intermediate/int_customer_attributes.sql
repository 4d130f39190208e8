{{ config(materialized='in_parts', meta={
  'part': 'customer_id',
  'touched': 'staging.stg_meta__touched_customers',
  'through': [
    'staging.stg_billing__customers', 'staging.stg_crm__accounts', 'staging.stg_billing__subscription_versions',
    'staging.stg_billing__invoices',
  ],
  'reads': {
    'raw_billing.customers': 'customer_id',
    'raw_crm.accounts': 'account_id in (
      select account_id from raw_crm.accounts semi join staging.stg_meta__touched_customers using (customer_id)
    )',
    'raw_billing.subscription_versions': 'subscription_item_id in (
      select subscription_item_id from raw_billing.subscription_versions
      semi join staging.stg_meta__touched_customers using (customer_id)
    )',
    'raw_billing.invoices': 'invoice_id in (
      select invoice_id from raw_billing.invoices semi join staging.stg_meta__touched_customers using (customer_id)
    )',
  },
}) }}
-- depends_on: {{ ref('stg_meta__touched_customers') }}, {{ ref('stg_meta__increment') }}
-- One row per customer and stretch of days with the same attributes. The stretches of a customer tile all days:
-- what is first known holds before it too, what is last known after it. Billing's word wins over the CRM's.
with billing_customers as (
  select
    *,
    lag(valid_from) over by_day is null as is_first,
    lead(valid_from) over by_day as next_from
  from {{ ref('stg_billing__customers') }}
  window by_day as (partition by customer_id order by valid_from)
),
-- of several accounts of one customer the one that opens first speaks; ties by id
speaking_accounts as (
  select *
  from {{ ref('stg_crm__accounts') }}
  where customer_id is not null
  qualify account_id = first_value(account_id) over (partition by customer_id order by valid_from, account_id)
),
crm_accounts as (
  select
    *,
    lag(valid_from) over by_day is null as is_first,
    lead(valid_from) over by_day as next_from
  from speaking_accounts
  window by_day as (partition by customer_id order by valid_from)
),
customer_ids as (
  select customer_id from billing_customers
  union
  select customer_id from {{ ref('stg_billing__subscription_versions') }}
  union
  select customer_id from {{ ref('stg_billing__invoices') }}
  union
  select parent_customer_id from {{ ref('stg_billing__customer_parents') }} where parent_customer_id is not null
),
from_billing as (
  select
    customer_ids.customer_id,
    case when is_first is null or is_first then date '0001-01-01' else valid_from end as valid_from,
    coalesce(next_from, date '9999-12-31') as valid_to,
    name, country, currency, segment, acquisition_channel, created_on,
    coalesce(is_test, false) as is_test
  from customer_ids
  left join billing_customers using (customer_id)
),
from_crm as (
  select
    customer_id,
    case when is_first then date '0001-01-01' else valid_from end as valid_from,
    coalesce(next_from, date '9999-12-31') as valid_to,
    account_id, name, owner, csm, stage, segment, acquisition_channel
  from crm_accounts
)
select
  from_billing.customer_id,
  greatest(from_billing.valid_from, coalesce(from_crm.valid_from, from_billing.valid_from)) as valid_from,
  least(from_billing.valid_to, coalesce(from_crm.valid_to, from_billing.valid_to)) as valid_to,
  coalesce(from_billing.name, from_crm.name) as name,
  from_billing.country,
  from_billing.currency,
  coalesce(from_billing.segment, from_crm.segment, 'unknown') as segment,
  coalesce(from_billing.acquisition_channel, from_crm.acquisition_channel, 'unknown') as acquisition_channel,
  from_crm.account_id,
  from_crm.owner,
  from_crm.csm,
  from_crm.stage,
  from_billing.created_on,
  from_billing.is_test
from from_billing
left join from_crm
  on from_crm.customer_id = from_billing.customer_id
  and from_crm.valid_from < from_billing.valid_to
  and from_billing.valid_from < from_crm.valid_to
