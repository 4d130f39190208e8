-- One row per month from the first subscription day to the as-of month, with the day its snapshot is taken.
select months.month, months.snapshot_on, months.is_provisional
from {{ ref('int_report_months') }} as months
where months.month >= (select {{ snapshot_month('min(valid_from)') }} from {{ ref('int_item_versions') }})
