-- What was owed at the close of each month and of the as-of day, by days past due, and what was received and pays
-- nothing yet.
select day as snapshot_on, currency, segment, bucket, invoices, customers, remaining_minor
from {{ ref('fct_ar_aging_days') }}
where is_snapshot
