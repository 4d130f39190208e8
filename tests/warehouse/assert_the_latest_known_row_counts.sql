-- Of all rows of a key that were known, the one recorded last counts; what was recorded later than the build may know does not.
{% set tables = {
  'subscription_versions': ['subscription_item_id', 'version_no'],
  'discounts': ['discount_id', 'subscription_item_id'],
  'customers': ['customer_id', 'valid_from'],
  'customer_parents': ['customer_id', 'valid_from'],
  'invoices': ['invoice_id'],
  'applications': ['application_id'],
} -%}
{% for table, key in tables.items() -%}
select '{{ table }}' as table_name, {{ key[0] }}::varchar as id, staged.recorded_at, latest.recorded_at as latest_recorded_at
from {{ ref('stg_billing__' ~ table) }} as staged
left join (
  select {{ key | join(', ') }}, max(recorded_at) as recorded_at
  from {{ source('raw_billing', table) }}
  where recorded_at <= (select known_to from {{ ref('stg_meta__build') }})
  group by {{ key | join(', ') }}
) as latest using ({{ key | join(', ') }})
where staged.recorded_at is distinct from latest.recorded_at
{% if not loop.last %}union all
{% endif %}
{%- endfor %}
