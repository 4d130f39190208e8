-- What an item brings in month by month and when its term ends. Terms of one month decide nothing that tenure doesn't.
with stretches as (
  select
    items.subscription_item_id,
    items.customer_id,
    rates.amount_currency as currency,
    {{ snapshot_month('items.valid_from') }} as from_month,
    {{ snapshot_month("coalesce(items.valid_to, date '9999-12-31')") }} as until_month,
    items.mrr::decimal(20, 6) * rates.constant_rate as mrr,
    versions.term_end,
    {{ months_between('versions.term_start', 'versions.term_end') }} as term_months
  from {{ ref('int_item_versions') }} as items
  join {{ ref('int_rates') }} as rates using (currency)
  join {{ ref('stg_billing__subscription_versions') }} as versions
    on versions.subscription_item_id = items.subscription_item_id
    and versions.version_no = items.version_no
  where items.counts_in_mrr
)
select
  subscription_item_id,
  customer_id,
  currency,
  from_month,
  until_month,
  mrr::decimal(38, 16) as mrr,
  case when coalesce(term_months, 2) >= 2 then {{ snapshot_month('term_end') }} end as due_month,
  case when term_months >= 2 then term_months end::bigint as term_months
from stretches
where from_month < until_month
