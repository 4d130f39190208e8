-- An item has one state on a day; a version has a positive length and a known interval.
select subscription_item_id, valid_from, valid_to
from (
  select
    *,
    lead(valid_from) over (partition by subscription_item_id order by valid_from) as next_from
  from {{ ref('int_item_versions') }}
) as versions
where next_from < coalesce(valid_to, date '9999-12-31')
  or valid_to <= valid_from
  or (counts_in_mrr and factor_d is null)
